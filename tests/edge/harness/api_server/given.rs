//! Objects as a cluster has them, and what comes of them at the Gateway `apps/edge`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ApiServer, object};
use crate::harness::edge::get_now;
use crate::harness::eventually;

/// A route `apps/NAME` for a prefix that leads to a Service.
pub fn route(name: &str, prefix: &str, service: &str) -> Value {
    let matched = json!({"path": {"type": "PathPrefix", "value": prefix}});
    let backend = json!({"name": service, "port": 8080});
    let rule = json!({"matches": [matched], "backendRefs": [backend]});
    let spec = json!({"parentRefs": [{"name": "edge"}], "rules": [rule]});
    object(name, &json!({"spec": spec}))
}

impl ApiServer {
    /// Puts a Service with one endpoint, and a route of its name to it, for a path of its name.
    pub fn serve(&self, name: &str, endpoint: SocketAddr) {
        self.put_service(name, endpoint);
        self.put("httproutes", route(name, &format!("/{name}"), name));
    }

    /// Puts a Service with one endpoint.
    pub fn put_service(&self, name: &str, endpoint: SocketAddr) {
        let spec = json!({"ports": [{"port": 8080}]});
        self.put("services", object(name, &json!({"spec": spec})));
        self.put_endpoint(name, name, endpoint, &json!({"ready": true}));
    }

    /// Puts a slice with one endpoint of a Service, and with these conditions.
    pub fn put_endpoint(&self, slice: &str, service: &str, at: SocketAddr, conditions: &Value) {
        let endpoint = json!({"addresses": [at.ip()], "conditions": conditions});
        let mut slice = object(
            slice,
            &json!({
                "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"port": at.port()}],
            }),
        );
        slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": service});
        self.put("endpointslices", slice);
    }

    /// Waits until the Gateway answers a path with this text.
    pub async fn answers(&self, path: &str, text: &str) {
        eventually(&format!("{text} at {path}"), || {
            let answer = get_now(self.gateway, path)?;
            answer.ends_with(text).then_some(())
        })
        .await;
    }

    /// Waits until the condition of an object of the namespace `apps`, or of its first parent, has
    /// this status.
    pub async fn tells(&self, plural: &str, name: &str, condition: &str, status: &str) {
        eventually(&format!("{condition} {status} of {name}"), || {
            let object = self.get(plural, "apps", name);
            let all = match &object["status"]["parents"] {
                Value::Null => object["status"]["conditions"].clone(),
                parents => parents[0]["conditions"].clone(),
            };
            let is_it = |one: &Value| one["type"] == condition && one["status"] == status;
            all.as_array()?.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until nothing is left to be written: a lease has been renewed twice meanwhile.
    pub async fn is_quiet(&self) {
        let mut writes = self.status_writes();
        let renewals = || {
            self.requests(|one| one.plural == "leases" && one.method != "GET")
                .len()
        };
        let mut seen = renewals();
        eventually("nothing is written for a while", || {
            let now = self.status_writes();
            if now != writes {
                (writes, seen) = (now, renewals());
            }
            (renewals() >= seen + 4).then_some(())
        })
        .await;
    }

    /// The name of the node that leads; empty where none does.
    pub fn leader(&self) -> String {
        let lease = self.get("leases", "culvert-system", "culvert.dev-gateway");
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or("");
        holder.split('/').next().unwrap_or("").to_owned()
    }
}
