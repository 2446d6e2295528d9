//! Where the API server has the objects of each kind.

use kube::api::ApiResource;

use crate::gateway::objects::Kind;

/// A kind that is watched, and the versions in which a server may have it, the best first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pub(super) kind: Kind,
    versions: &'static [&'static str],
    plural: &'static str,
}

const fn watched(kind: Kind, versions: &'static [&'static str], plural: &'static str) -> Watched {
    Watched {
        kind,
        versions,
        plural,
    }
}

/// All of them but Secrets and ConfigMaps, of which only those are read to which something refers.
pub(super) const WATCHED: [Watched; 11] = [
    watched(Kind::GatewayClass, &["v1"], "gatewayclasses"),
    watched(Kind::Gateway, &["v1"], "gateways"),
    watched(Kind::HttpRoute, &["v1"], "httproutes"),
    watched(Kind::ReferenceGrant, &["v1", "v1beta1"], "referencegrants"),
    watched(Kind::BackendTlsPolicy, &["v1"], "backendtlspolicies"),
    watched(Kind::HealthCheckPolicy, &["v1"], "healthcheckpolicies"),
    watched(Kind::TunnelPolicy, &["v1alpha1"], "tunnelpolicies"),
    watched(Kind::TargetPolicy, &["v1alpha1"], "targetpolicies"),
    watched(Kind::Service, &["v1"], "services"),
    watched(Kind::EndpointSlice, &["v1"], "endpointslices"),
    watched(Kind::Namespace, &["v1"], "namespaces"),
];

impl Watched {
    /// In how many versions a server may have it.
    pub(super) fn versions(&self) -> usize {
        self.versions.len()
    }

    /// Where its objects are, in one of its versions.
    pub(super) fn resource(&self, try_number: usize) -> ApiResource {
        let version = self.versions[try_number % self.versions.len()];
        resource(self.kind.group(), version, self.kind.as_str(), self.plural)
    }
}

/// Where the statuses of objects of a kind are written.
pub(super) fn of_kind(kind: Kind) -> Option<ApiResource> {
    let watched = WATCHED.iter().find(|watched| watched.kind == kind);
    watched.map(|watched| watched.resource(0))
}

/// Secrets
pub(super) fn secrets() -> ApiResource {
    resource("", "v1", "Secret", "secrets")
}

/// ConfigMaps
pub(super) fn config_maps() -> ApiResource {
    resource("", "v1", "ConfigMap", "configmaps")
}

/// Leases
pub(super) fn leases() -> ApiResource {
    resource("coordination.k8s.io", "v1", "Lease", "leases")
}

/// Definitions of kinds.
pub(super) fn definitions() -> ApiResource {
    let group = "apiextensions.k8s.io";
    resource(
        group,
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    )
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
