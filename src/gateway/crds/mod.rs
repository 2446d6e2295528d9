//! CustomResourceDefinitions of the policies that no published module has: Culvert's own, and
//! Azure's. What a cluster takes by them is what the readers of `objects` take; tests feed both.

mod health_check_policy;
mod schema;
mod status;
mod target_policy;
mod tunnel_policy;

use serde_json::{Value, json};

use super::objects::Kind;

/// What is told of itself, in every file.
const HEAD: &str = "# Printed by `culvert gateway crds`; do not edit.\n";

/// A definition.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The file for it.
    pub file: &'static str,
    /// It, as YAML.
    pub text: String,
    /// It, as a tree.
    pub value: Value,
}

/// A kind, as the API server has to know it.
struct Described {
    kind: Kind,
    version: &'static str,
    plural: &'static str,
    short: &'static str,
    description: &'static str,
    spec: Value,
    status: Value,
    columns: Value,
}

/// All definitions.
pub fn all() -> Vec<Definition> {
    let described = [tunnel_policy(), target_policy(), health_check_policy()];
    described.into_iter().map(Described::define).collect()
}

/// All definitions in one text, as `kubectl apply -f -` takes it.
pub fn text() -> String {
    let all = all().into_iter().map(|one| one.text);
    all.collect::<Vec<_>>().join("---\n")
}

fn tunnel_policy() -> Described {
    Described {
        kind: Kind::TunnelPolicy,
        version: "v1alpha1",
        plural: "tunnelpolicies",
        short: "tunpol",
        description: "What bounds the tunnels of HTTPRoutes or Gateways.",
        spec: tunnel_policy::spec(),
        status: status::ancestors(),
        columns: own_columns(),
    }
}

fn target_policy() -> Described {
    Described {
        kind: Kind::TargetPolicy,
        version: "v1alpha1",
        plural: "targetpolicies",
        short: "tgtpol",
        description: "How the endpoints of Services share what is new, and are checked.",
        spec: target_policy::spec(),
        status: status::ancestors(),
        columns: own_columns(),
    }
}

fn health_check_policy() -> Described {
    Described {
        kind: Kind::HealthCheckPolicy,
        version: "v1",
        plural: "healthcheckpolicies",
        short: "hcp",
        description: "How the endpoints of a Service are checked, after Azure's Application \
                      Gateway for Containers.",
        spec: health_check_policy::spec(),
        status: status::whole(),
        columns: json!([
            column("Target", ".spec.targetRef.name"),
            column(
                "Accepted",
                ".status.conditions[?(@.type==\"Accepted\")].status"
            ),
            age(),
        ]),
    }
}

fn own_columns() -> Value {
    let accepted = ".status.ancestors[*].conditions[?(@.type==\"Accepted\")].status";
    json!([
        column("Targets", ".spec.targetRefs[*].name"),
        column("Accepted", accepted),
        age(),
    ])
}

fn column(name: &str, path: &str) -> Value {
    json!({"name": name, "type": "string", "jsonPath": path})
}

fn age() -> Value {
    json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
}

impl Described {
    fn define(self) -> Definition {
        let (kind, group) = (self.kind.as_str(), self.kind.group());
        let singular = kind.to_lowercase();
        let file = match self.kind {
            Kind::TunnelPolicy => "tunnelpolicies.yaml",
            Kind::TargetPolicy => "targetpolicies.yaml",
            _ => "healthcheckpolicies.yaml",
        };
        let value = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": self.metadata(),
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": self.plural,
                    "singular": singular,
                    "shortNames": [self.short],
                    "categories": ["gateway-api"],
                },
                "versions": [{
                    "name": self.version,
                    "served": true,
                    "storage": true,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": self.columns,
                    "schema": {"openAPIV3Schema": schema::object(self.description, vec![
                        schema::may("apiVersion", json!({"type": "string"})),
                        schema::may("kind", json!({"type": "string"})),
                        schema::may("metadata", json!({"type": "object"})),
                        schema::must("spec", self.spec),
                        schema::may("status", self.status),
                    ])},
                }],
            },
        });
        let body = serde_yaml::to_string(&value).expect("a tree of strings, numbers and lists");
        Definition {
            file,
            text: format!("{HEAD}{body}"),
            value,
        }
    }

    /// Policies are found by the label that GEP-713 gives them.
    fn metadata(&self) -> Value {
        let name = format!("{}.{}", self.plural, self.kind.group());
        let class = match self.kind {
            Kind::TunnelPolicy => "Inherited",
            _ => "Direct",
        };
        json!({"name": name, "labels": {"gateway.networking.k8s.io/policy": class}})
    }
}

#[cfg(test)]
mod tests;
