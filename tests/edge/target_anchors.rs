//! A target's certificate that is itself in `caFile` is taken, as OpenSSL's command makes one by
//! default, in whatever is asked of the target, with its names and its dates; any other of its kind
//! is not.

use std::net::SocketAddr;

use crate::harness::client::HANDSHAKE;
use crate::harness::tls::openssl;
use crate::harness::tls::{TARGET_HOST as HOST, over_tls};
use crate::harness::{Authority, Config, Edge, eventually};

/// Makes a certificate as most make their first one: `NAME.crt` and `NAME.key`.
fn self_sign(folder: &Authority, name: &str, host: &str) {
    let [chain, key] = ["crt", "key"].map(|end| folder.file(&format!("{name}.{end}")));
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let names = format!("subjectAltName=DNS:{host}");
    let subject = format!("/CN={host}");
    openssl(&[
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-subj",
        &subject, "-addext", &names,
    ]);
    let text = openssl(&["x509", "-in", chain, "-noout", "-text"]);
    assert!(text.contains("CA:TRUE"), "{text}");
}

/// A configuration in which `caFile` has this certificate, with HTTP checks over TLS.
fn trusting(folder: &Authority, certificate: &str, target: SocketAddr) -> Config {
    let file = folder.file(&format!("{certificate}.crt"));
    let keys = format!("caFile: {}, serverName: {HOST}", file.display());
    over_tls(&keys, &[target]).group("healthCheck: {type: HTTP}")
}

#[tokio::test]
async fn a_certificate_that_is_in_the_file_is_taken_in_checks_requests_and_tunnels() {
    let folder = Authority::new();
    self_sign(&folder, "own", HOST);
    let target = folder.serving("own").await;
    let edge = Edge::start(&trusting(&folder, "own", target.address)).await;
    let of_target = format!("target=\"{}\",target_group=\"group\"", target.address);
    let passed = format!("health_checks_total{{result=\"passed\",{of_target}}}");
    eventually("a check passes", || {
        (edge.metric(&passed) >= 1.0).then_some(())
    })
    .await;
    assert_eq!(edge.get("/").await.text(), "hello");
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
}

#[tokio::test]
async fn another_of_its_kind_or_one_for_another_name_is_refused() {
    let folder = Authority::new();
    self_sign(&folder, "own", HOST);
    self_sign(&folder, "twin", HOST);
    self_sign(&folder, "other", "other.example");
    for (shown, trusted, error) in [
        ("twin", "own", "target certificate: an authority's"),
        ("other", "other", "target certificate: wrong name"),
    ] {
        let target = folder.serving(shown).await;
        let configuration = trusting(&folder, trusted, target.address);
        let edge = Edge::start(&configuration.each_target("healthCheckEnabled: false")).await;
        assert_eq!(edge.get("/").await.status, 503);
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        assert_eq!(client.answer_to_end().await.status, 503);
        for line in edge.log_lines(2).await {
            assert_eq!(line["error"], error, "{shown}");
        }
    }
}
