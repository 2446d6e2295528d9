//! All objects, by kind and name. Which slices are of which Service is known here, so that a change
//! of one slice needs no look at the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::objects::{
    BackendTlsPolicy, ConfigMap, EndpointSlice, Endpoints, Gateway, GatewayClass,
    HealthCheckPolicy, HttpRoute, Kind, Name, Namespace, Object, ReferenceGrant, Secret, Service,
    TargetPolicy, TunnelPolicy,
};

/// Objects of a kind.
pub type All<T> = BTreeMap<Name, Arc<T>>;

/// All objects. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// GatewayClasses
    pub classes: All<GatewayClass>,
    /// Gateways
    pub gateways: All<Gateway>,
    /// HTTPRoutes
    pub routes: All<HttpRoute>,
    /// ReferenceGrants
    pub grants: All<ReferenceGrant>,
    /// BackendTLSPolicies
    pub tls_policies: All<BackendTlsPolicy>,
    /// HealthCheckPolicies
    pub health_policies: All<HealthCheckPolicy>,
    /// TunnelPolicies
    pub tunnel_policies: All<TunnelPolicy>,
    /// TargetPolicies
    pub target_policies: All<TargetPolicy>,
    /// Services
    pub services: All<Service>,
    /// EndpointSlices
    pub slices: All<EndpointSlice>,
    /// Endpoints
    pub endpoints: All<Endpoints>,
    /// Secrets
    pub secrets: All<Secret>,
    /// ConfigMaps
    pub config_maps: All<ConfigMap>,
    /// Namespaces
    pub namespaces: All<Namespace>,
    /// The names of the slices of each Service.
    by_service: BTreeMap<Name, Vec<Name>>,
}

impl Store {
    /// With these objects; of two with one name the last counts.
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut store = Store::default();
        objects.into_iter().for_each(|object| store.put(object));
        store
    }

    /// Takes an object, in the place of the one with its name.
    pub fn put(&mut self, object: Object) {
        let name = object.meta().name.clone();
        self.remove_slice_of(object.kind(), &name);
        match object {
            Object::GatewayClass(object) => drop(self.classes.insert(name, object)),
            Object::Gateway(object) => drop(self.gateways.insert(name, object)),
            Object::HttpRoute(object) => drop(self.routes.insert(name, object)),
            Object::ReferenceGrant(object) => drop(self.grants.insert(name, object)),
            Object::BackendTlsPolicy(object) => drop(self.tls_policies.insert(name, object)),
            Object::HealthCheckPolicy(object) => drop(self.health_policies.insert(name, object)),
            Object::TunnelPolicy(object) => drop(self.tunnel_policies.insert(name, object)),
            Object::TargetPolicy(object) => drop(self.target_policies.insert(name, object)),
            Object::Service(object) => drop(self.services.insert(name, object)),
            Object::Endpoints(object) => drop(self.endpoints.insert(name, object)),
            Object::Secret(object) => drop(self.secrets.insert(name, object)),
            Object::ConfigMap(object) => drop(self.config_maps.insert(name, object)),
            Object::Namespace(object) => drop(self.namespaces.insert(name, object)),
            Object::EndpointSlice(object) => {
                if let Some(service) = &object.service {
                    let slices = self.by_service.entry(service.clone()).or_default();
                    let place = slices.partition_point(|other| *other < name);
                    slices.insert(place, name.clone());
                }
                self.slices.insert(name, object);
            }
        }
    }

    /// Forgets the object of this kind and name.
    pub fn remove(&mut self, kind: Kind, name: &Name) {
        self.remove_slice_of(kind, name);
        match kind {
            Kind::GatewayClass => drop(self.classes.remove(name)),
            Kind::Gateway => drop(self.gateways.remove(name)),
            Kind::HttpRoute => drop(self.routes.remove(name)),
            Kind::ReferenceGrant => drop(self.grants.remove(name)),
            Kind::BackendTlsPolicy => drop(self.tls_policies.remove(name)),
            Kind::HealthCheckPolicy => drop(self.health_policies.remove(name)),
            Kind::TunnelPolicy => drop(self.tunnel_policies.remove(name)),
            Kind::TargetPolicy => drop(self.target_policies.remove(name)),
            Kind::Service => drop(self.services.remove(name)),
            Kind::EndpointSlice => drop(self.slices.remove(name)),
            Kind::Endpoints => drop(self.endpoints.remove(name)),
            Kind::Secret => drop(self.secrets.remove(name)),
            Kind::ConfigMap => drop(self.config_maps.remove(name)),
            Kind::Namespace => drop(self.namespaces.remove(name)),
        }
    }

    /// The slices of a Service, by their names.
    pub fn slices_of(&self, service: &Name) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        let names = self.by_service.get(service).into_iter().flatten();
        names.filter_map(|name| self.slices.get(name))
    }

    fn remove_slice_of(&mut self, kind: Kind, name: &Name) {
        let slice = self
            .slices
            .get(name)
            .filter(|_| kind == Kind::EndpointSlice);
        let Some(service) = slice.and_then(|slice| slice.service.clone()) else {
            return;
        };
        if let Some(slices) = self.by_service.get_mut(&service) {
            slices.retain(|other| other != name);
            if slices.is_empty() {
                self.by_service.remove(&service);
            }
        }
    }
}
