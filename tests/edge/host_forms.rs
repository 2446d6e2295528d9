//! A host is the same host with a dot at its end: for rules, certificates, origins, hashes and the
//! log.

use crate::harness::client::{handshake, header};
use crate::harness::tls::forwarding;
use crate::harness::tls::s_client_asking;
use crate::harness::{Authority, Config, Connection, Edge, Target};

#[tokio::test]
async fn rules_and_the_log_know_a_host_with_a_dot_and_the_target_sees_it_as_it_was_sent() {
    let target = Target::showing().await;
    let rule = "conditions: [{type: HOST, condition: EQUALS, value: A.example}]";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(rule)).await;
    let hosts = ["a.example", "a.example.", "A.EXAMPLE.:8080"];
    for host in hosts {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let seen = edge.request(&request).await;
        assert_eq!(header(seen.text(), "host"), Some(host), "{}", seen.text());
    }
    let other = edge.request("GET / HTTP/1.1\r\nHost: b.a.example.\r\nConnection: close\r\n\r\n");
    assert_eq!(other.await.status, 404);
    let lines = edge.log_lines(4).await;
    let names: Vec<_> = lines.iter().map(|line| line["hostName"].as_str()).collect();
    let expected = ["a.example", "a.example", "A.EXAMPLE", "b.a.example"];
    assert_eq!(names, expected.map(Some));
}

#[tokio::test]
async fn a_certificate_is_found_for_a_host_with_a_dot() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["first", "wildcard", "exact"];
    authority.issue("first", &["first.example"]);
    authority.issue("wildcard", &["*.example.com"]);
    authority.issue("exact", &["a.example.com"]);
    let edge = Edge::start(&forwarding(
        &authority,
        &names,
        "strictSni: true",
        target.address,
    ))
    .await;
    let rows = [
        ("a.example.com.", "exact", "a.example.com"),
        ("B.example.com.", "wildcard", "b.example.com"),
    ];
    for (place, (host, name, logged)) in rows.into_iter().enumerate() {
        let said = s_client_asking(edge.address, &["-servername", host]).await;
        let pem = said.find("-----BEGIN").map_or("", |start| &said[start..]);
        assert_eq!(authority.name_of(pem, &names), Some(name), "{host}");
        let lines = edge.log_lines(place + 1).await;
        assert_eq!(lines[place]["serverName"], logged);
    }
}

#[tokio::test]
async fn an_origin_is_allowed_with_a_dot_in_the_list_or_in_the_handshake() {
    let target = Target::mirror().await;
    let origins = "allowedOrigins: [\"https://a.example\", \"https://b.example.\"]";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(origins)).await;
    for (origin, status) in [
        ("https://a.example.", " 101 "),
        ("https://b.example", " 101 "),
        ("https://b.example.:443", " 101 "),
        ("https://a.example..", " 403 "),
    ] {
        let mut client = Connection::open(edge.address).await;
        let line = format!("Origin: {origin}\r\n");
        client.send(handshake("/chat", &line)).await;
        let head = client.head().await;
        assert!(head.contains(status), "{origin}: {head}");
    }
}

#[tokio::test]
async fn a_hash_of_the_host_is_that_of_its_name() {
    let names = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let mut targets = Vec::new();
    for name in names {
        targets.push(Target::answering(name).await);
    }
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let hash = "algorithm: HASH, hashKey: {type: HEADER, key: Host}";
    let edge = Edge::start(&Config::forwarding_to(&addresses).group(hash)).await;
    for name in ["a.example", "b.example", "c.example"] {
        let mut chosen = Vec::new();
        for end in ["", ".", ":8080", ".:8080"] {
            let request =
                format!("GET / HTTP/1.1\r\nHost: {name}{end}\r\nConnection: close\r\n\r\n");
            chosen.push(edge.request(&request).await.text().to_owned());
        }
        chosen.dedup();
        assert_eq!(chosen.len(), 1, "{name}");
    }
}
