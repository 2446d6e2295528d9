//! What a test has for itself on a server: a namespace, a controller and a class, all of one name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hyper::Method;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::client::{APPLY, JSON, MERGE};
use super::{Node, Server, eventually};

/// Kinds: where they are, by what name, and whether they are in namespaces.
const KINDS: [(&str, &str, &str, bool); 14] = [
    ("Namespace", "api/v1", "namespaces", false),
    ("Service", "api/v1", "services", true),
    ("Secret", "api/v1", "secrets", true),
    ("ConfigMap", "api/v1", "configmaps", true),
    (
        "EndpointSlice",
        "apis/discovery.k8s.io/v1",
        "endpointslices",
        true,
    ),
    ("Lease", "apis/coordination.k8s.io/v1", "leases", true),
    ("GatewayClass", GATEWAY, "gatewayclasses", false),
    ("Gateway", GATEWAY, "gateways", true),
    ("HTTPRoute", GATEWAY, "httproutes", true),
    ("ReferenceGrant", GATEWAY, "referencegrants", true),
    ("BackendTLSPolicy", GATEWAY, "backendtlspolicies", true),
    (
        "HealthCheckPolicy",
        "apis/alb.networking.azure.io/v1",
        "healthcheckpolicies",
        true,
    ),
    (
        "TunnelPolicy",
        "apis/culvert.dev/v1alpha1",
        "tunnelpolicies",
        true,
    ),
    (
        "TargetPolicy",
        "apis/culvert.dev/v1alpha1",
        "targetpolicies",
        true,
    ),
];
const GATEWAY: &str = "apis/gateway.networking.k8s.io/v1";

/// What a test has for itself on a server.
pub struct Space {
    pub server: Arc<Server>,
    pub name: String,
}

impl Space {
    /// One on the server that tests share.
    pub async fn shared() -> Space {
        Space::on(&Server::shared().await).await
    }

    /// One on this server, with its namespace and its class.
    pub async fn on(server: &Arc<Server>) -> Space {
        let space = Space::without_class(server).await;
        space.apply(&space.class()).await;
        space
    }

    /// One on this server that has no class yet.
    pub async fn without_class(server: &Arc<Server>) -> Space {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let space = Space {
            name: format!("space-{}", NEXT.fetch_add(1, Relaxed)),
            server: Arc::clone(server),
        };
        let name = &space.name;
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}");
        space.apply(&namespace).await;
        space
    }

    /// Its class.
    pub fn class(&self) -> String {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
             metadata: {{name: {}}}\nspec: {{controllerName: {}}}\n",
            self.name,
            self.controller()
        )
    }

    /// `controllerName` of its class.
    pub fn controller(&self) -> String {
        format!("culvert.dev/{}", self.name)
    }

    /// Applies objects. Those that name no namespace are in its own.
    pub async fn apply(&self, objects: &str) {
        let (status, said) = self.try_apply(objects).await;
        assert!(status < 300, "{status}: {said}");
    }

    /// The same, up to the first that is refused; what was said to the last.
    pub async fn try_apply(&self, objects: &str) -> (u16, Value) {
        let mut last = (0, Value::Null);
        for document in serde_yaml::Deserializer::from_str(objects) {
            let object = Value::deserialize(document).unwrap();
            let path = self.path_of(&object);
            let path = format!("{path}?fieldManager=test&force=true");
            let method = Method::PATCH;
            last = self
                .server
                .ask(method, &path, APPLY, object.to_string())
                .await;
            if last.0 >= 300 {
                break;
            }
        }
        last
    }

    /// An object, with its status; `Null` where there is none.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        self.get_in(&self.name, kind, name).await
    }

    /// The same in another namespace.
    pub async fn get_in(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let metadata = json!({"name": name, "namespace": namespace});
        let path = self.path_of(&json!({"kind": kind, "metadata": metadata}));
        let (status, object) = self
            .server
            .ask(Method::GET, &path, JSON, String::new())
            .await;
        if status == 200 { object } else { Value::Null }
    }

    /// Takes an object away.
    pub async fn delete(&self, kind: &str, name: &str) {
        let path = self.path(kind, name);
        let (status, said) = self
            .server
            .ask(Method::DELETE, &path, JSON, String::new())
            .await;
        assert!(status < 300, "{said}");
    }

    /// Merges this into an object.
    pub async fn patch(&self, kind: &str, name: &str, part: Value) {
        let path = self.path(kind, name);
        let (status, said) = self
            .server
            .ask(Method::PATCH, &path, MERGE, part.to_string())
            .await;
        assert!(status < 300, "{said}");
    }

    /// Writes the status of an object as it comes of what it was, as a careful controller does.
    pub async fn put_status(&self, kind: &str, name: &str, change: impl Fn(&mut Value)) {
        let path = format!("{}/status", self.path(kind, name));
        eventually("a status is written", async || {
            let mut object = self.get(kind, name).await;
            change(&mut object["status"]);
            let (status, said) = self
                .server
                .ask(Method::PUT, &path, JSON, object.to_string())
                .await;
            assert!(status == 200 || status == 409, "{said}");
            (status == 200).then_some(())
        })
        .await;
    }

    /// The path of an object in its namespace.
    fn path(&self, kind: &str, name: &str) -> String {
        self.path_of(&json!({"kind": kind, "metadata": {"name": name}}))
    }

    fn path_of(&self, object: &Value) -> String {
        let (kind, metadata) = (&object["kind"], &object["metadata"]);
        let (_, group, plural, is_in_namespace) =
            KINDS.iter().find(|(name, ..)| kind == name).unwrap();
        let name = metadata["name"].as_str().unwrap();
        let namespace = metadata["namespace"].as_str().unwrap_or(&self.name);
        match is_in_namespace {
            true => format!("/{group}/namespaces/{namespace}/{plural}/{name}"),
            false => format!("/{group}/{plural}/{name}"),
        }
    }

    /// A node of this name that has the objects of its class from the server, at this address.
    pub async fn node_at(&self, name: &str, address: &str) -> Node {
        Node::start(self, name, address).await
    }

    /// A node.
    pub async fn node(&self) -> Node {
        self.node_at("one", "127.0.0.1").await
    }

    /// A Gateway of its class with one listener, for all routes of the namespace.
    pub fn gateway(&self, name: &str, port: u16) -> String {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n\
             spec: {{gatewayClassName: {}, \
             listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}\n",
            self.name
        )
    }

    /// Waits until a condition of an object, as `find` finds it, is as it is to be.
    pub async fn waits_for(
        &self,
        kind: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        eventually_showing(&mut last, async |last| {
            *last = self.get(kind, name).await;
            wanted(last).then(|| last.clone())
        })
        .await
    }

    /// Waits until an object's condition of a type has a status and a reason, for its generation.
    pub async fn tells(&self, kind: &str, name: &str, told: [&str; 3]) -> Value {
        let [type_, status, reason] = told;
        self.waits_for(kind, name, |object| {
            let found = condition(object, type_);
            let generation = &object["metadata"]["generation"];
            found["status"] == status
                && found["reason"] == reason
                && found["observedGeneration"] == *generation
        })
        .await
    }
}

/// Waits, and says what there was last where that does not help.
async fn eventually_showing<T>(
    last: &mut Value,
    mut check: impl AsyncFnMut(&mut Value) -> Option<T>,
) -> T {
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    loop {
        if let Some(value) = check(last).await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "it stays as it is: {last:#}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

/// A condition of an object, or of the first entry of its parents or ancestors; `Null` where there
/// is none of this type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let status = &object["status"];
    let entries = ["parents", "ancestors"]
        .iter()
        .find_map(|list| status[list].get(0));
    let conditions = &entries.unwrap_or(status)["conditions"];
    let mut all = conditions.as_array().into_iter().flatten();
    all.find(|one| one["type"] == type_).unwrap_or(&Value::Null)
}

/// A route that leads from a Gateway to a Service.
pub fn route(name: &str, gateway: &str, service: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec: {{parentRefs: [{{name: {gateway}}}], rules: [{{backendRefs: [{{name: {service}, port: 80}}]}}]}}\n"
    )
}

/// A Service, and a slice with these endpoints.
pub fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{ports: [{{name: http, port: 80}}]}}\n{}",
        slice(name, endpoints, "ready: true")
    )
}

/// A slice of a Service with these endpoints, all with these conditions.
pub fn slice(service: &str, endpoints: &[SocketAddr], conditions: &str) -> String {
    let endpoint = |address: &SocketAddr| {
        format!(
            "{{addresses: [{}], conditions: {{{conditions}}}}}",
            address.ip()
        )
    };
    let all: Vec<_> = endpoints.iter().map(endpoint).collect();
    let port = endpoints.first().map_or(80, SocketAddr::port);
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {service}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {port}}}]\nendpoints: [{}]\n",
        all.join(", ")
    )
}

/// A route that sends whoever comes from a Gateway to another host.
pub fn redirect(name: &str, gateway: &str, host: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec: {{parentRefs: [{{name: {gateway}}}], rules: [{{filters: [{{\
         type: RequestRedirect, requestRedirect: {{hostname: {host}}}}}]}}]}}\n"
    )
}

/// A policy for a Service, by the authorities that the system trusts.
pub fn tls_policy(name: &str, service: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
         metadata: {{name: {name}}}\n\
         spec: {{targetRefs: [{{group: '', kind: Service, name: {service}}}], \
         validation: {{hostname: target.example, wellKnownCACertificates: System}}}}\n"
    )
}

/// A Secret with a certificate.
pub fn secret(name: &str, chain: &str, key: &str) -> String {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": chain, "tls.key": key},
    });
    secret.to_string()
}
