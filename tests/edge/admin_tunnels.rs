//! What operators can ask of the API about tunnels, and which it ends for them.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::admin::{get, send};
use crate::harness::client::handshake;
use crate::harness::{Config, Connection, Edge, Target, eventually};

pub const TUNNELS: &str = "/api/v1/tunnels";
/// Keys of `server`.
pub const SMALL_DRAIN: &str = "drain: {deadline: 1s}";

/// Two groups, each with its rule; the first has all that is not for `/b`.
pub fn two_groups(a: SocketAddr, b: SocketAddr) -> Config {
    let rules = "{name: b, type: FORWARD, targetGroup: b,
            conditions: [{type: PATH, condition: STARTS_WITH, value: /b}]},
        {name: rest, type: FORWARD, targetGroup: a}";
    Config::new()
        .rule("trustedProxies: [127.0.0.1]")
        .http_rules(rules)
        .add_group("a")
        .target(a, "")
        .add_group("b")
        .target(b, "")
}

fn ids(page: &Value) -> Vec<String> {
    let tunnels = page["tunnels"].as_array().unwrap().iter();
    tunnels
        .map(|tunnel| tunnel["id"].as_str().unwrap().to_owned())
        .collect()
}

fn uris(page: &Value) -> Vec<&str> {
    let tunnels = page["tunnels"].as_array().unwrap().iter();
    tunnels
        .map(|tunnel| tunnel["requestUri"].as_str().unwrap())
        .collect()
}

pub async fn open(edge: &Edge, count: usize) {
    eventually("the tunnels are listed", || {
        (get(edge, TUNNELS)["total"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_show_each_of_hundreds_of_tunnels_once_while_others_end() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnels = edge.tunnels(250).await;
    open(&edge, 250).await;
    let first = get(&edge, TUNNELS);
    assert_eq!(
        (ids(&first).len(), first["total"].as_u64()),
        (100, Some(250))
    );
    // One after the page and one of it.
    drop((tunnels.remove(120), tunnels.remove(3)));
    open(&edge, 248).await;

    let (mut seen, mut next) = (ids(&first), first["next"].clone());
    while let Some(cursor) = next.as_str() {
        let page = get(&edge, &format!("{TUNNELS}?limit=60&cursor={cursor}"));
        assert!(ids(&page).len() <= 60);
        seen.extend(ids(&page));
        next = page["next"].clone();
    }

    let different: HashSet<&String> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "one is shown twice");
    assert_eq!(seen.len(), 249);
    let whole = get(&edge, &format!("{TUNNELS}?limit=1000"));
    assert!(ids(&whole).iter().all(|id| different.contains(id)));
    assert_eq!(whole["next"], Value::Null);
    drop(tunnels);
}

#[tokio::test]
async fn filters_show_what_they_say_and_secrets_are_redacted() {
    let (a, b) = (Target::mirror().await, Target::mirror().await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let mut tunnels = Vec::new();
    for (path, client) in [
        ("/a?token=secret", "10.1.2.3"),
        ("/b1", "10.1.9.9"),
        ("/b2", "192.0.2.1"),
    ] {
        let mut client_end = edge.connect().await;
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        client_end.send(handshake(path, &forwarded)).await;
        client_end.head().await;
        tunnels.push(client_end);
    }
    open(&edge, 3).await;
    let all = get(&edge, TUNNELS);
    assert_eq!(uris(&all), ["/a?token=<redacted>", "/b1", "/b2"]);
    let last = all["tunnels"][2].clone();
    assert!(last["startTime"].as_str().unwrap().ends_with('Z'));
    let (id, target) = (last["id"].as_str().unwrap(), b.address);

    for (filter, expected) in [
        (
            "forwardingRule=edge",
            &["/a?token=<redacted>", "/b1", "/b2"][..],
        ),
        ("forwardingRule=other", &[]),
        ("targetGroup=b", &["/b1", "/b2"]),
        (&format!("target={target}"), &["/b1", "/b2"]),
        ("client=10.1.0.0/16", &["/a?token=<redacted>", "/b1"]),
        ("client=192.0.2.1", &["/b2"]),
        ("client=10.1.0.0/16&targetGroup=b", &["/b1"]),
        (&format!("id={id}"), &["/b2"]),
        ("minAge=1h", &[]),
        ("minAge=1", &["/a?token=<redacted>", "/b1", "/b2"]),
    ] {
        let page = get(&edge, &format!("{TUNNELS}?{filter}"));
        assert_eq!(uris(&page), expected, "{filter}");
    }
}

#[tokio::test]
async fn what_a_filter_is_true_of_is_killed_with_the_words_that_were_chosen() {
    let (a, b) = (Target::named("a").await, Target::named("b").await);
    let edge = Edge::start(&two_groups(a.address, b.address)).await;
    let (mut stays, _) = Connection::tunnel(edge.address, "/a").await;
    let (mut goes, _) = Connection::tunnel(edge.address, "/b").await;
    open(&edge, 2).await;

    let path = format!("{TUNNELS}?targetGroup=b&code=4001&text=good%20bye");
    let (status, answer) = send(&edge, "DELETE", &path);

    assert_eq!((status, &answer["ended"]), (202, &json!(1)));
    let (opcode, payload) = goes.frame().await.unwrap();
    assert_eq!((opcode, &payload[..]), (8, &b"\x0f\xa1good bye"[..]));
    goes.leave(4001).await;
    let line = edge.log_line().await;
    assert_eq!(
        (&line["closeReason"], &line["closeCode"]),
        (&json!("killed"), &json!(4001))
    );
    stays.say_hi().await;
    edge.says("1 tunnels killed: targetGroup=\"b\" code=\"4001\" text=\"good bye\"")
        .await;
}

#[tokio::test]
async fn nothing_is_killed_by_a_request_that_is_not_understood() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut tunnel = edge.tunnel().await.0;
    open(&edge, 1).await;
    for (query, word) in [
        ("", "filter"),
        ("?forwardingrule=edge", "forwardingrule"),
        ("?code=4000", "filter"),
        ("?forwardingRule=edge&code=1006", "code"),
        ("?client=everybody", "client"),
        ("?limit=1&forwardingRule=edge", "limit"),
    ] {
        let (status, answer) = send(&edge, "DELETE", &format!("{TUNNELS}{query}"));
        let error = answer["error"].as_str().unwrap();
        assert!(
            status == 400 && error.contains(word),
            "{query}: {status} {error}"
        );
    }
    tunnel.say_hi().await;
}
