//! To targets that ask for a certificate a group shows the one that it names, in checks, requests
//! and tunnels; a renewal on disk is shown without an order, and to whoever has none such a target
//! is closed.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use serde_json::json;

use crate::harness::admin;
use crate::harness::api::{Api, GROUPS, targets};
use crate::harness::client::HANDSHAKE;
use crate::harness::edge::body_of;
use crate::harness::target::switching_protocols;
use crate::harness::tls::{TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Connection, Edge, Target, eventually, soon};

fn certificate(authority: &Authority, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(authority.file(&format!("{name}.crt"))).unwrap()
}

/// What shakes hands with whoever has a certificate of the authority's.
fn asking(authority: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority, "ca")).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let key = PrivateKeyDer::from_pem_file(authority.file("target.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate(authority, "target")], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A target that asks for a certificate, and tells how long the one is that it was shown, once for
/// each connection: as an answer, or as the first words of a tunnel.
async fn target(authority: &Authority) -> Target {
    authority.issue("target", &[HOST]);
    let acceptor = asking(authority);
    Target::scripted(move |connection: Connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(connection.stream).await else {
                return;
            };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let mut connection = Connection::over(stream);
            let head = connection.head().await;
            if head.contains("Upgrade") {
                connection.send(switching_protocols(&head)).await;
                connection.send(shown).await;
                connection.to_end().await;
                return;
            }
            let length = shown.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            connection.send([head.as_bytes(), &shown].concat()).await;
        }
    })
    .await
}

/// A configuration with the pair `own`, and these further keys of its only group.
fn with(authority: &Authority, keys: &str, target: SocketAddr) -> Config {
    over_tls(&trusting(authority), &[target])
        .group("healthCheck: {type: HTTP}")
        .group(keys)
        .certificates(authority, &["own"])
}

/// Which certificate a request's connection shows.
async fn shown(edge: &Edge) -> Vec<u8> {
    edge.get("/").await.body
}

#[tokio::test]
async fn it_is_shown_in_checks_requests_and_tunnels() {
    let authority = Authority::new();
    authority.issue("own", &[]);
    let target = target(&authority).await;
    let configuration = with(&authority, "clientCertificate: own", target.address);
    let edge = Edge::start(&configuration).await;
    let of_target = format!("target=\"{}\",target_group=\"group\"", target.address);
    let passed = format!("health_checks_total{{result=\"passed\",{of_target}}}");
    eventually("a check passes", || {
        (edge.metric(&passed) >= 1.0).then_some(())
    })
    .await;
    let own = certificate(&authority, "own");
    assert_eq!(shown(&edge).await, own.as_ref());
    let (mut client, _) = edge.tunnel().await;
    assert_eq!(client.exactly(own.len()).await, own.as_ref());
    assert!(
        !edge.diagnostics().contains("WARN"),
        "{}",
        edge.diagnostics()
    );
}

#[tokio::test]
async fn without_one_such_a_target_gets_nothing() {
    let authority = Authority::new();
    authority.issue("own", &[]);
    let target = target(&authority).await;
    let edge = Edge::start(&with(&authority, "failOpen: true", target.address)).await;
    assert!(edge.get("/").await.status >= 502);
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert!(client.answer_to_end().await.status >= 502);
    let of_target = format!("target=\"{}\",target_group=\"group\"", target.address);
    edge.metric_becomes(&format!("target_healthy{{{of_target}}}"), 0.0)
        .await;
}

#[tokio::test]
async fn a_renewal_on_disk_is_shown_and_tunnels_and_decisions_stay() {
    let authority = Authority::new();
    authority.issue("own", &[]);
    let target = target(&authority).await;
    let configuration = with(&authority, "clientCertificate: own", target.address);
    let edge = Edge::start(&configuration).await;
    let before = shown(&edge).await;
    let (mut client, _) = edge.tunnel().await;
    client.exactly(before.len()).await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", target.address);
    let (status, _) = crate::harness::admin::ask(&edge, "PATCH", &path, &[], "{\"weight\": 7}");
    assert_eq!(status, 200);

    authority.issue("own", &[]);
    let after = certificate(&authority, "own");
    soon("the new one is shown", async {
        while shown(&edge).await != after.as_ref() {}
    })
    .await;
    assert_ne!(before, after.as_ref());
    let tunnels = body_of(&edge.admin_page("/api/v1/tunnels"));
    assert_eq!(tunnels["total"], 1);
    let status = body_of(&edge.admin_page("/api/v1/status")).to_string();
    assert!(status.contains("\"weight\":7"), "{status}");

    // Half a pair changes nothing but for an error line.
    fs::write(authority.file("own.key"), "nonsense").unwrap();
    edge.says("what was read before stays in use").await;
    assert_eq!(shown(&edge).await, after.as_ref());
}

#[tokio::test]
async fn groups_of_the_api_show_what_the_file_has_under_the_name() {
    let authority = Authority::new();
    for name in ["own", "other"] {
        authority.issue(name, &[]);
    }
    let target = target(&authority).await;
    let config = Config::answering("hello").certificates(&authority, &["own"]);
    let api = Api::with(config, "").await;
    let group = json!({"properties": {
        "name": "group", "algorithm": "RANDOM", "protocol": "HTTPS", "serverName": HOST,
        "caFile": authority.file("ca.crt"), "clientCertificate": "own",
        "targets": targets(&[target.address]),
    }});
    let made = api.ask("POST", GROUPS, &[], &group.to_string());
    let rule = api.rule(&made.body["id"]).await;
    assert_eq!(rule.get("/").await.body, *certificate(&authority, "own"));

    let [chain, key] = authority.files("other");
    let files = format!(
        "certificateChain: {}, privateKey: {}",
        chain.display(),
        key.display()
    );
    let other = Config::answering("hello").top(&format!("certificates: [{{name: own, {files}}}]"));
    api.edge.reload(&other.api(api.address, "")).await;
    assert_eq!(rule.get("/").await.body, *certificate(&authority, "other"));

    let none = Config::answering("hello").api(api.address, "");
    api.edge.configure(&none);
    let said = admin::post(&api, "/api/v1/reload", &json!({}));
    let problem = said["problems"][0].as_str().unwrap();
    assert!(problem.contains(": api /targetgroups/"), "{problem}");
    assert!(
        problem.ends_with("no certificate named \"own\""),
        "{problem}"
    );
}
