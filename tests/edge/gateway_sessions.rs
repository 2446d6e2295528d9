//! `sessionPersistence` of a rule keeps a client at its endpoint, for that rule and no other.

use crate::harness::edge::ask_now;
use crate::harness::manifests::service;
use crate::harness::{Connection, Manifests, Target, eventually};

const ROUTE: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: apps}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {value: /plain}}]
    backendRefs: [{name: chat, port: 8080}]
  - matches: [{path: {value: /session}}]
    backendRefs: [{name: chat, port: 8080}]
    sessionPersistence: {}
  - matches: [{path: {value: /permanent}}]
    backendRefs: [{name: chat, port: 8080}]
    sessionPersistence:
      sessionName: seat
      absoluteTimeout: 1h
      cookieConfig: {lifetimeType: Permanent}
  - matches: [{path: {value: /header}}]
    backendRefs: [{name: chat, port: 8080}]
    sessionPersistence: {type: Header, sessionName: X-Seat}
  - matches: [{path: {value: /short}}]
    backendRefs: [{name: chat, port: 8080}]
    sessionPersistence: {absoluteTimeout: 1s}
";

/// Who answers a request with this cookie, and the cookie that it gets.
async fn ask(edge: &Manifests, path: &str, cookie: &str) -> (String, Option<String>) {
    let mut client = Connection::open(edge.gateway).await;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    client.send(request).await;
    let answer = client.answer().await;
    let told = answer.header("set-cookie").map(str::to_owned);
    (answer.text().to_owned(), told)
}

async fn start(targets: &[Target; 2]) -> Manifests {
    let addresses = targets.each_ref().map(|target| target.address);
    Manifests::with(&(ROUTE.to_owned() + &service("chat", &addresses))).await
}

#[tokio::test]
async fn a_client_of_the_rule_stays_at_its_endpoint_and_others_take_turns() {
    let targets = [Target::named("one").await, Target::named("two").await];
    let edge = start(&targets).await;
    for (path, name, is_permanent) in [
        ("/session", "culvert-", false),
        ("/permanent", "seat=", true),
    ] {
        let (who, cookie) = ask(&edge, path, "a=b").await;
        let cookie = cookie.unwrap();
        assert!(cookie.starts_with(name), "{cookie}");
        assert_eq!(cookie.contains("Max-Age=3600"), is_permanent, "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        for _ in 0..6 {
            assert_eq!(ask(&edge, path, pair).await.0, who);
        }
        let mut plain = Vec::new();
        for _ in 0..4 {
            let (who, cookie) = ask(&edge, "/plain", pair).await;
            assert_eq!(cookie, None);
            plain.push(who);
        }
        plain.sort();
        assert_eq!(plain, ["one", "one", "two", "two"]);
    }
}

/// Who answers a request with this line, and what the answer says in this header.
async fn told(edge: &Manifests, path: &str, line: &str, name: &str) -> (String, Option<String>) {
    let mut client = Connection::open(edge.gateway).await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n");
    client.send(head).await;
    let answer = client.answer().await;
    let told = answer.header(name).map(str::to_owned);
    (answer.text().to_owned(), told)
}

#[tokio::test]
async fn a_client_that_sends_the_header_back_stays_at_its_endpoint() {
    let targets = [Target::named("one").await, Target::named("two").await];
    let edge = start(&targets).await;
    let (who, seat) = told(&edge, "/header", "", "x-seat").await;
    let line = format!("X-Seat: {}\r\n", seat.unwrap());
    for _ in 0..6 {
        assert_eq!(
            told(&edge, "/header", &line, "x-seat").await,
            (who.clone(), None)
        );
    }
    let (_, seat) = told(&edge, "/header", "X-Seat: another\r\n", "x-seat").await;
    assert!(seat.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_absolute_timeout_whatever_the_client_keeps() {
    let targets = [Target::named("one").await, Target::named("two").await];
    let edge = start(&targets).await;
    let (_, cookie) = told(&edge, "/short", "", "set-cookie").await;
    let cookie = cookie.unwrap();
    assert!(!cookie.contains("Max-Age"), "{cookie}");
    let line = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let head = format!("GET /short HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n");
    eventually("it has ended", || {
        let answer = ask_now(edge.gateway, &head).unwrap_or_default();
        answer
            .to_ascii_lowercase()
            .contains("\r\nset-cookie: culvert-")
            .then_some(())
    })
    .await;
}
