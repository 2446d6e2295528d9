//! The filter CORS, for pages of all sites that have a scheme and a port.

use crate::harness::manifests::service;
use crate::harness::{Connection, Manifests, Target};

const ROUTE: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: apps}
spec:
  parentRefs: [{name: edge}]
  rules:
  - backendRefs: [{name: chat, port: 8080}]
    filters: [{type: CORS, cors: {allowOrigins: [\"https://*\", \"http://*:8080\"]}}]
";

#[tokio::test]
async fn pages_of_all_hosts_are_those_of_the_scheme_and_the_port() {
    let target = Target::answering("hello").await;
    let edge = Manifests::with(&(ROUTE.to_owned() + &service("chat", &[target.address]))).await;
    for (origin, may_read) in [
        ("https://a.example", true),
        ("https://other.b.example", true),
        ("https://a.example:8443", false),
        ("http://a.example:8080", true),
        ("http://a.example", false),
    ] {
        let mut client = Connection::open(edge.gateway).await;
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\r\n");
        client.send(request).await;
        let answer = client.answer().await;
        let told = answer.header("access-control-allow-origin");
        assert_eq!(told, may_read.then_some(origin), "{origin}");
    }
}
