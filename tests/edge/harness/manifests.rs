//! A Culvert that serves objects of the Gateway API from a folder of manifests.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::Value;
use tempfile::TempDir;

use super::admin;
use super::ports::free_addresses;
use super::{Config, Edge, eventually};

/// A running Culvert with a folder of manifests, and where its Gateway `apps/edge` is to listen.
pub struct Manifests {
    pub edge: Edge,
    pub folder: TempDir,
    pub gateway: SocketAddr,
    config: Config,
}

impl Manifests {
    /// One with these manifests, a Gateway among them that takes routes on a free port.
    pub async fn with(manifests: &str) -> Manifests {
        Manifests::beside(Config::answering("file"), manifests).await
    }

    /// The same beside this configuration.
    pub async fn beside(config: Config, manifests: &str) -> Manifests {
        let (folder, [gateway]) = (tempfile::tempdir().unwrap(), free_addresses());
        let path = folder.path().display();
        let config = config.top(&format!(
            "gateway: {{manifests: [{path}], addresses: [{}]}}",
            gateway.ip()
        ));
        fs::write(folder.path().join("gateway.yaml"), gateway_at(gateway)).unwrap();
        fs::write(folder.path().join("routes.yaml"), manifests).unwrap();
        let edge = Edge::start(&config).await;
        Manifests {
            edge,
            folder,
            gateway,
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes a file, as whoever replaces one does it: beside, and renamed.
    pub fn write(&self, name: &str, text: &str) {
        let (path, new) = (
            self.folder.path().join(name),
            self.folder.path().join(".new"),
        );
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// What is told of an object `namespace/name`.
    pub fn status(&self, kind: &str, name: &str) -> Value {
        let (namespace, name) = name.split_once('/').unwrap();
        let shown = admin::get(&self.edge, "/api/v1/gateway");
        let mut items = shown["items"].as_array().unwrap().iter();
        let is_it = |item: &&Value| {
            let metadata = &item["metadata"];
            item["kind"] == kind && metadata["name"] == name && metadata["namespace"] == namespace
        };
        items
            .find(is_it)
            .map_or(Value::Null, |item| item["status"].clone())
    }

    /// Waits until the Gateway answers a path with this text.
    pub async fn answers(&self, path: &str, text: &str) {
        let mut last = String::new();
        eventually(&format!("{text} at {path}"), || {
            last = super::edge::get_now(self.gateway, path).unwrap_or_default();
            last.ends_with(text).then_some(())
        })
        .await;
    }
}

impl Deref for Manifests {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

/// A Gateway `apps/edge` on a port.
pub fn gateway_at(address: SocketAddr) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: edge, namespace: apps}}\n\
         spec: {{gatewayClassName: any, \
         listeners: [{{name: http, port: {}, protocol: HTTP}}]}}\n",
        address.port()
    )
}

/// A Service `apps/NAME` with these endpoints.
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    let subset = |address: &SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("{{addresses: [{{ip: {ip}}}], ports: [{{port: {port}}}]}}")
    };
    let subsets: Vec<String> = endpoints.iter().map(subset).collect();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: apps}}\n\
         spec: {{ports: [{{port: 8080}}]}}\n---\napiVersion: v1\nkind: Endpoints\n\
         metadata: {{name: {name}, namespace: apps}}\nsubsets: [{}]\n",
        subsets.join(", ")
    )
}

/// A route `apps/NAME` for a prefix that leads to a Service.
pub fn route(name: &str, prefix: &str, service: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: apps}}\n\
         spec: {{parentRefs: [{{name: edge}}], rules: [{{\
         matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}], \
         backendRefs: [{{name: {service}, port: 8080}}]}}]}}\n"
    )
}

/// A policy of Culvert's of this kind, `apps/policy`, for an object of a kind, that says this.
pub fn policy(kind: &str, target: &str, says: &str) -> String {
    let (to, name) = target.split_once(' ').unwrap();
    let group = match to {
        "Service" => "\"\"",
        _ => "gateway.networking.k8s.io",
    };
    format!(
        "---\napiVersion: culvert.dev/v1alpha1\nkind: {kind}\n\
         metadata: {{name: policy, namespace: apps}}\n\
         spec: {{targetRefs: [{{group: {group}, kind: {to}, name: {name}}}], {says}}}\n"
    )
}

impl Manifests {
    /// One whose route and Service `chat` have these endpoints, and a policy of this kind for this
    /// object, which holds.
    pub async fn under(kind: &str, target: &str, says: &str, to: &[SocketAddr]) -> Manifests {
        let all = route("chat", "/", "chat") + &service("chat", to) + &policy(kind, target, says);
        let edge = Manifests::with(&all).await;
        edge.policy_holds(kind).await;
        edge
    }

    /// Waits until the policy is told to hold.
    pub async fn policy_holds(&self, kind: &str) {
        let mut last = Value::Null;
        eventually("the policy holds", || {
            last = self.status(kind, "apps/policy");
            let accepted = &last["ancestors"][0]["conditions"][0];
            (accepted["type"] == "Accepted" && accepted["status"] == "True").then_some(())
        })
        .await;
    }
}
