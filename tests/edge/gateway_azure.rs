//! The manifests of Azure's guide to WebSockets serve as they are; only the port is a test's own,
//! and the endpoints, which a cluster would know.

use serde_json::Value;

use crate::harness::{Connection, Manifests, Target, eventually};

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: websocket-backend, namespace: apps}
spec: {replicas: 1}
---
apiVersion: v1
kind: Service
metadata:
  name: websocket-backend
  namespace: apps
spec:
  selector: {app: websocket-backend}
  ports:
  - protocol: TCP
    port: 8080
    targetPort: 8080
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: websocket-example
  namespace: apps
spec:
  parentRefs:
  - name: edge
  hostnames:
  - "contoso.com"
  rules:
  - matches:
    - path:
        type: PathPrefix
        value: /chat
    backendRefs:
    - name: websocket-backend
      port: 8080
---
apiVersion: alb.networking.azure.io/v1
kind: HealthCheckPolicy
metadata:
  name: websockets-backend-health-check-policy
  namespace: apps
spec:
  targetRef:
    group: ""
    kind: Service
    name: websocket-backend
    namespace: apps
  default:
    interval: 1s
    timeout: 1s
    healthyThreshold: 1
    unhealthyThreshold: 1
    http:
      path: /health
"#;

/// The conditions of a status, or of its first parent: type, status and message.
fn conditions(status: &Value) -> Vec<(&str, &str, &str)> {
    let all = match status["parents"][0]["conditions"].as_array() {
        Some(conditions) => conditions,
        None => status["conditions"].as_array().unwrap(),
    };
    let told = all.iter().map(|one| {
        (
            one["type"].as_str().unwrap(),
            one["status"].as_str().unwrap(),
            one["message"].as_str().unwrap(),
        )
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_route_and_health_check_serve_with_their_conditions() {
    let target = Target::named("websocket-backend").await;
    let (ip, port) = (target.address.ip(), target.address.port());
    let endpoints = format!(
        "---\napiVersion: v1\nkind: Endpoints\nmetadata: {{name: websocket-backend, \
         namespace: apps}}\nsubsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: {port}}}]}}]\n"
    );
    let edge = Manifests::with(&format!("{DEPLOYMENT}{endpoints}")).await;
    let route = edge.status("HTTPRoute", "apps/websocket-example");
    for kind in ["Accepted", "ResolvedRefs"] {
        let mut all = conditions(&route).into_iter();
        assert!(
            all.any(|(type_, status, _)| (type_, status) == (kind, "True")),
            "{route}"
        );
    }
    let policy = edge.status(
        "HealthCheckPolicy",
        "apps/websockets-backend-health-check-policy",
    );
    let accepted = ("Accepted", "True", "Valid HealthCheckPolicy");
    assert!(conditions(&policy).contains(&accepted), "{policy}");
    // The check is made, and a WebSocket with the route's host goes through.
    eventually("a health check", || {
        let mut heads = target.heads().into_iter();
        heads
            .any(|head| head.starts_with("GET /health "))
            .then_some(())
    })
    .await;
    let mut client = Connection::open(edge.gateway).await;
    let handshake = crate::harness::client::handshake("/chat", "");
    let handshake = handshake.replace("Host: example.com", "Host: contoso.com");
    client.send(handshake).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client.say_hi().await;
    // Another host is not the route's.
    let mut other = Connection::open(edge.gateway).await;
    other
        .send("GET /chat HTTP/1.1\r\nHost: other.example\r\n\r\n")
        .await;
    assert_eq!(other.answer().await.status, 404);
}
