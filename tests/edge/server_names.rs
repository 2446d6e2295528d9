//! HTTP rules know whom a client has named in its TLS handshake, in HTTP/1.1 and in HTTP/2.

use tokio::process::Command;

use crate::harness::process::run;
use crate::harness::tls::forwarding;
use crate::harness::{Authority, Edge, Target, soon};

const MISDIRECTED: &str = "{name: misdirected, type: STATIC, statusCode: 421, responseMessage: '',
    conditions: [{type: SERVER_NAME, condition: EQUALS, value: B.example, negate: true},
        {type: HOST, condition: EQUALS, value: b.example}]}";

#[tokio::test]
async fn a_request_for_another_host_than_the_handshake_named_can_be_told_so() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("both", &["a.example", "b.example"]);
    let config = forwarding(&authority, &["both"], "", target.address).http_rules(MISDIRECTED);
    let edge = Edge::start(&config).await;
    for (named, host, status) in [
        ("a.example", "a.example", "200"),
        ("a.example", "b.example", "421"),
        ("a.example", "B.example:443", "421"),
        ("b.example", "b.example", "200"),
    ] {
        for version in ["--http1.1", "--http2"] {
            let said = asked(&edge, version, named, host).await;
            assert_eq!(said, status, "{version} {named} {host}");
        }
    }
}

/// The status of what is answered to curl, which names one host and asks for the other.
async fn asked(edge: &Edge, version: &str, named: &str, host: &str) -> String {
    let port = edge.address.port();
    let mut curl = Command::new("curl");
    curl.args(["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", version])
        .args(["--resolve", &format!("{named}:{port}:127.0.0.1")])
        .args(["-H", &format!("Host: {host}")])
        .arg(format!("https://{named}:{port}/"));
    let output = soon("curl", curl.output()).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn explain_takes_the_host_for_the_name() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("both", &["a.example", "b.example"]);
    let config = forwarding(&authority, &["both"], "", target.address)
        .http_rules(&MISDIRECTED.replace("negate: true", "negate: false"))
        .rule("listenerPort: 443");
    let folder = tempfile::tempdir().unwrap();
    config.write_to(folder.path());
    for (host, expected) in [
        ("b.example:443", "misdirected: 421"),
        ("a.example", "all: "),
    ] {
        let host = format!("Host: {host}");
        let arguments = [
            "explain",
            "--offline",
            "-c",
            "culvert.yaml",
            "/",
            "-H",
            &host,
        ];
        let said = String::from_utf8(run(&arguments, folder.path()).stdout).unwrap();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("=> {expected}")), "{said}");
    }
}
