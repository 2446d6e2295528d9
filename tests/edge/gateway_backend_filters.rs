//! CORS and RequestMirror at a backendRef, and CORS beside a redirect.

use crate::harness::manifests::service;
use crate::harness::{Answer, Connection, Manifests, Target, eventually};

const ROUTE: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: apps}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {value: /own}}]
    filters: [{type: CORS, cors: {allowOrigins: [\"https://rule.example\"], allowMethods: [PUT]}}]
    backendRefs:
    - name: chat
      port: 8080
      filters:
      - {type: CORS, cors: {allowOrigins: [\"https://own.example\"], allowMethods: [DELETE]}}
  - matches: [{path: {value: /copied}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: both, port: 8080}}}]
    backendRefs:
    - name: chat
      port: 8080
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: own, port: 8080}}}]
    - {name: chat, port: 8080, weight: 0}
  - matches: [{path: {value: /moved}}]
    filters:
    - {type: RequestRedirect, requestRedirect: {hostname: new.example}}
    - {type: CORS, cors: {allowOrigins: [\"https://rule.example\"], allowMethods: [PUT]}}
";

const PREFLIGHT: &str = "Access-Control-Request-Method: PUT\r\n";

async fn start(target: &Target, mirrors: [&Target; 2]) -> Manifests {
    let [both, own] = mirrors.map(|mirror| mirror.address);
    let all = [
        ROUTE.to_owned(),
        service("chat", &[target.address]),
        service("both", &[both]),
        service("own", &[own]),
    ];
    Manifests::with(&all.concat()).await
}

async fn ask(edge: &Manifests, method: &str, path: &str, lines: &str) -> Answer {
    let mut client = Connection::open(edge.gateway).await;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    client.send(head).await;
    match method {
        "OPTIONS" => client.answer_without_body().await,
        _ => client.answer().await,
    }
}

#[tokio::test]
async fn the_cors_of_a_backend_comes_in_the_place_of_that_of_its_rule() {
    let target = Target::answering("hello").await;
    let edge = start(&target, [&target, &target]).await;
    for (origin, may) in [
        ("https://own.example", true),
        ("https://rule.example", false),
    ] {
        let lines = format!("Origin: {origin}\r\n");
        let answer = ask(&edge, "GET", "/own", &lines).await;
        let told = answer.header("access-control-allow-origin");
        assert_eq!((answer.text(), told), ("hello", may.then_some(origin)));
        let answer = ask(&edge, "OPTIONS", "/own", &(lines + PREFLIGHT)).await;
        let told = answer.header("access-control-allow-methods");
        assert_eq!((answer.status, told), (204, may.then_some("DELETE")));
    }
}

#[tokio::test]
async fn a_request_to_a_backend_is_copied_to_its_mirrors_and_to_those_of_its_rule() {
    let target = Target::answering("hello").await;
    let mirrors = [Target::answering("x").await, Target::answering("x").await];
    let edge = start(&target, mirrors.each_ref()).await;
    assert_eq!(ask(&edge, "GET", "/copied", "").await.text(), "hello");
    for mirror in &mirrors {
        eventually("it is copied", || (mirror.heads().len() == 1).then_some(())).await;
        assert!(mirror.heads()[0].starts_with("GET /copied "));
    }
    assert_eq!(ask(&edge, "GET", "/own", "").await.text(), "hello");
    assert!(mirrors.iter().all(|mirror| mirror.heads().len() == 1));
}

#[tokio::test]
async fn a_preflight_beside_a_redirect_is_answered_and_the_redirect_tells_who_may_follow() {
    let target = Target::answering("hello").await;
    let edge = start(&target, [&target, &target]).await;
    let origin = "Origin: https://rule.example\r\n";
    let answer = ask(&edge, "OPTIONS", "/moved", &(origin.to_owned() + PREFLIGHT)).await;
    let told = answer.header("access-control-allow-methods");
    assert_eq!((answer.status, told), (204, Some("PUT")));
    let answer = ask(&edge, "GET", "/moved", origin).await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, told), (302, Some("https://rule.example")));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let answer = ask(&edge, "GET", "/moved", "Origin: https://other.example\r\n").await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, told), (302, None));
}
