//! A client that asks in the TLS handshake for what can be no host is served like one that asks for
//! none.

use crate::harness::tls::forwarding;
use crate::harness::tls::s_client_asking;
use crate::harness::{Authority, Edge, Target};

const ODD: [&str; 5] = ["[a.example.com]", "a.example.com:443", "-x", "a..b", "a b"];

#[tokio::test]
async fn what_can_be_no_host_is_taken_for_none_in_both_versions_of_tls() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["first", "second"];
    authority.issue("first", &["first.example"]);
    authority.issue("second", &["*.example.com"]);
    let edge = Edge::start(&forwarding(&authority, &names, "", target.address)).await;
    let ca = authority.file("ca.crt");
    for (place, version) in ["-tls1_2", "-tls1_3"].into_iter().enumerate() {
        for name in ODD {
            let arguments = [
                version,
                "-servername",
                name,
                "-CAfile",
                ca.to_str().unwrap(),
            ];
            let said = s_client_asking(edge.address, &arguments).await;
            let pem = said.find("-----BEGIN").map_or("", |start| &said[start..]);
            assert_eq!(
                authority.name_of(pem, &names),
                Some("first"),
                "{name}: {said}"
            );
            assert!(
                said.contains("HTTP/1.1 200 OK") && said.contains("hello"),
                "{name}: {said}"
            );
        }
        let lines = edge.log_lines((place + 1) * ODD.len()).await;
        assert!(lines.iter().all(|line| line.get("serverName").is_none()));
    }
}

#[tokio::test]
async fn it_is_refused_where_a_host_must_be_asked_for() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &["a.example.com"]);
    let strict = forwarding(&authority, &["one"], "strictSni: true", target.address);
    let edge = Edge::start(&strict).await;
    for name in ODD {
        let said = s_client_asking(edge.address, &["-servername", name]).await;
        assert!(!said.contains("-----BEGIN"), "{name}: {said}");
    }
    edge.refused("tls_handshake", ODD.len()).await;
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn such_a_client_can_resume_and_may_show_a_certificate() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &["a.example.com"]);
    authority.issue("client", &["client.example"]);
    let [ca, crt, key] = ["ca.crt", "client.crt", "client.key"].map(|name| authority.file(name));
    let [ca, crt, key] = [&ca, &crt, &key].map(|file| file.to_str().unwrap());
    let clients = format!("clientCertificates: {{caFile: {ca}}}");
    let edge = Edge::start(&forwarding(&authority, &["one"], &clients, target.address)).await;
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    let arguments = ["-tls1_3", "-servername", "[x]", "-cert", crt, "-key", key];
    let saving = [&arguments[..], &["-sess_out", session]].concat();
    let said = s_client_asking(edge.address, &saving).await;
    assert!(said.contains("hello"), "{said}");
    let resuming = [&arguments[..], &["-sess_in", session]].concat();
    let said = s_client_asking(edge.address, &resuming).await;
    assert!(
        said.contains("hello") && said.contains("\nReused, "),
        "{said}"
    );
    let lines = edge.log_lines(2).await;
    assert!(
        lines
            .iter()
            .all(|line| line["clientCertificateVerify"] == "SUCCESS")
    );
}
