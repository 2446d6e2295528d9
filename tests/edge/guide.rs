//! Recipes of the guide do what they say, with our ports and targets in place of those shown.

use std::net::SocketAddr;

use crate::harness::docs::{page, swap};
use crate::harness::{Answer, Connection, Edge, Target};

/// The file of a recipe, which listens where a test does.
fn recipe(heading: &str) -> String {
    let shown = page("docs/guide.md").block(heading, "yaml");
    shown
        .replace("listenerIp: 0.0.0.0", "listenerIp: 127.0.0.1")
        .replace("listenerPort: 8080", "listenerPort: LISTEN_PORT")
}

/// The same with a target of ours in the place of one that is shown.
fn with(file: &str, shown: &str, target: &Target) -> String {
    let ours = format!("{{ip: 127.0.0.1, port: {}", target.address.port());
    swap(file, shown, &ours)
}

async fn ask(address: SocketAddr, path: &str, header: &str) -> Answer {
    let mut client = Connection::open(address).await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: chat.example.com\r\n{header}\r\n");
    client.send(head).await;
    client.answer().await
}

#[tokio::test]
async fn the_canary_has_the_testers_and_its_share_and_keeps_whom_it_has() {
    let (stable, canary) = (Target::named("stable").await, Target::named("canary").await);
    let file = swap(&recipe("Canary"), ", {ip: 10.0.1.12, port: 8080}", "");
    let file = with(&file, "{ip: 10.0.1.11, port: 8080", &stable);
    let edge = Edge::start(&with(&file, "{ip: 10.0.2.11, port: 8080", &canary)).await;

    let tester = ask(edge.address, "/", "X-Canary: 1\r\n").await;
    assert_eq!(tester.text(), "canary");
    let cookie = tester.header("set-cookie").unwrap();
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    for _ in 0..20 {
        assert_eq!(ask(edge.address, "/", &cookie).await.text(), "canary");
    }
    let mut to_canary = 0;
    for _ in 0..200 {
        to_canary += usize::from(ask(edge.address, "/", "").await.text() == "canary");
    }
    // 20 of 200 on average; what is beyond this happens less than once in a million times.
    assert!((2..=60).contains(&to_canary), "{to_canary}");
}

#[tokio::test]
async fn what_proves_a_name_reaches_its_client_and_all_else_is_sent_to_https() {
    let certbot = Target::named("certbot").await;
    let file = recipe("Let's Encrypt").replace("listenerPort: 80\n", "listenerPort: LISTEN_PORT\n");
    let (before, after) = file.split_once("  - name: wss\n").unwrap();
    let (_, after) = after.split_once("  - name: port-80\n").unwrap();
    // The rule for port 80 alone, as the recipe begins.
    let (_, rules) = before.split_once("forwardingRules:\n").unwrap();
    let file = format!("forwardingRules:\n{rules}  - name: port-80\n{after}");
    let edge = Edge::start(&with(&file, "{ip: 127.0.0.1, port: 8888", &certbot)).await;

    let proof = ask(edge.address, "/.well-known/acme-challenge/token", "").await;
    assert_eq!((proof.status, proof.text()), (200, "certbot"));
    let other = ask(edge.address, "/room?a=b", "").await;
    let location = Some("https://chat.example.com/room?a=b");
    assert_eq!((other.status, other.header("location")), (308, location));
}
