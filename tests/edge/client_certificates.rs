//! Certificates of clients: who is let in, what the target and the log are told, and that no client
//! can say it of itself.

use std::fs;
use std::path::Path;

use rcgen::KeyPair;
use serde_json::Value;
use tokio::process::Command;

use crate::harness::process::{run, without_positions};
use crate::harness::tls::{openssl, s_client_asking};
use crate::harness::{Authority, Config, Edge, Target, eventually, soon};

const HOST: &str = "a.example";
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// An authority that has issued a server's certificate, `one`, and a client's, `client`.
fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    authority.issue("client", &[]);
    authority
}

/// A configuration with the certificate `one`, in which clients need what `clients` says.
fn configuration(authority: &Authority, clients: &str, target: &Target) -> Config {
    let config = Config::forwarding_to(&[target.address]).rule(clients);
    config.tls(authority, &["one"])
}

fn clients(ca_file: &Path, mode: &str) -> String {
    let ca_file = ca_file.display();
    format!("clientCertificates: {{caFile: {ca_file}, mode: {mode}}}")
}

async fn start(authority: &Authority, mode: &str, target: &Target) -> Edge {
    let clients = clients(&authority.file("ca.crt"), mode);
    Edge::start(&configuration(authority, &clients, target)).await
}

/// What is said to a client with the certificate of this name, or without one.
async fn said_to(
    edge: &Edge,
    authority: &Authority,
    name: Option<&str>,
    arguments: &[&str],
) -> String {
    let files = name.map(|name| {
        let file = |end| authority.file(&format!("{name}.{end}"));
        [file("crt"), file("key")].map(|file| file.to_str().unwrap().to_owned())
    });
    let mut all = arguments.to_vec();
    if let Some([chain, key]) = &files {
        all.extend(["-cert", chain, "-key", key]);
    }
    s_client_asking(edge.address, &all).await.to_lowercase()
}

fn fingerprint(authority: &Authority, name: &str) -> String {
    let file = authority.file(&format!("{name}.crt"));
    let file = file.to_str().unwrap();
    let said = openssl(&["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]);
    let (_, digits) = said.trim().split_once('=').unwrap();
    digits.replace(':', "").to_lowercase()
}

/// Checks the headers that the target saw, and the fields of the log's line.
fn is_told(said: &str, line: &Value, verify: &str, subject: Option<&str>, fingerprint: &str) {
    assert!(said.contains("http/1.1 200"), "{said}");
    let fingerprint = subject.map(|_| fingerprint);
    for (name, expected) in [
        ("Verify", Some(verify)),
        ("Subject", subject),
        ("Fingerprint", fingerprint),
    ] {
        let header = format!("x-client-certificate-{name}: ").to_lowercase();
        let found: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix(&header))
            .collect();
        let lower = expected.map(str::to_lowercase);
        assert_eq!(found, Vec::from_iter(lower.as_deref()), "{name}: {said}");
        let field = line.get(format!("clientCertificate{name}"));
        assert_eq!(field.and_then(Value::as_str), expected, "{name}: {line}");
    }
}

#[tokio::test]
async fn who_has_no_valid_certificate_fails_the_handshake_where_one_is_required() {
    let (authority, target) = (authority(), Target::showing().await);
    let stranger = self::authority();
    authority.issue_for("expired", &[], &KeyPair::generate().unwrap(), -3);
    let edge = start(&authority, "require", &target).await;
    for version in VERSIONS {
        for (from, name) in [
            (&authority, None),
            (&authority, Some("expired")),
            (&stranger, Some("client")),
        ] {
            let said = said_to(&edge, from, name, &[version]).await;
            assert!(!said.contains("http/1.1"), "{name:?}: {said}");
        }
    }
    let are_counted = || (edge.refusals("tls_handshake") == 6.0).then_some(());
    eventually("they are counted", are_counted).await;
    assert!(edge.log().is_empty());
    for (place, version) in VERSIONS.iter().enumerate() {
        let said = said_to(&edge, &authority, Some("client"), &[version]).await;
        let line = edge.log_lines(place + 1).await.remove(place);
        let digits = fingerprint(&authority, "client");
        is_told(&said, &line, "SUCCESS", Some("CN=client"), &digits);
    }
    assert_eq!(edge.refusals("tls_handshake"), 6.0);
}

#[tokio::test]
async fn certificates_that_would_fill_the_memory_fail_the_handshake_in_either_mode() {
    let (authority, target) = (authority(), Target::showing().await);
    let hosts: Vec<String> = (0..400)
        .map(|place| format!("{place}.{}.example", "a".repeat(50)))
        .collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    for (name, count) in [("large", 400), ("small", 100)] {
        let key = KeyPair::generate().unwrap();
        authority.issue_for(name, &hosts[..count], &key, 1000);
    }
    for mode in ["require", "optional"] {
        let edge = start(&authority, mode, &target).await;
        for version in VERSIONS {
            let said = said_to(&edge, &authority, Some("small"), &[version]).await;
            assert!(said.contains("verify: success"), "{said}");
            let said = said_to(&edge, &authority, Some("large"), &[version]).await;
            assert!(!said.contains("http/1.1"), "{said}");
        }
        let are_counted = || (edge.refusals("tls_handshake") == 2.0).then_some(());
        eventually("they are counted", are_counted).await;
    }
}

#[tokio::test]
async fn where_it_is_optional_everybody_is_let_in_and_the_target_is_told() {
    let (authority, target) = (authority(), Target::showing().await);
    let stranger = self::authority();
    authority.issue_for("expired", &[], &KeyPair::generate().unwrap(), -3);
    let edge = start(&authority, "optional", &target).await;
    let mut lines = 0;
    for version in VERSIONS {
        for (from, name, verify) in [
            (&authority, Some("client"), "SUCCESS"),
            (&authority, Some("expired"), "FAILED:expired"),
            (&stranger, Some("client"), "FAILED:unknown_issuer"),
            (&authority, None, "NONE"),
        ] {
            let said = said_to(&edge, from, name, &[version]).await;
            lines += 1;
            let line = edge.log_lines(lines).await.remove(lines - 1);
            let subject = name.map(|name| format!("CN={name}"));
            let digits = fingerprint(from, name.unwrap_or("client"));
            is_told(&said, &line, verify, subject.as_deref(), &digits);
        }
    }
    assert_eq!(edge.refusals("tls_handshake"), 0.0);
}

#[tokio::test]
async fn a_session_that_is_resumed_tells_the_same() {
    let (authority, target) = (authority(), Target::showing().await);
    let stranger = self::authority();
    let edge = start(&authority, "optional", &target).await;
    let required = start(&authority, "require", &target).await;
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    for version in VERSIONS {
        for (edge, from, name, verify) in [
            (&edge, &authority, Some("client"), "SUCCESS"),
            (&edge, &stranger, Some("client"), "FAILED:unknown_issuer"),
            (&edge, &authority, None, "NONE"),
            (&required, &authority, Some("client"), "SUCCESS"),
        ] {
            let lines = edge.log().len();
            said_to(edge, from, name, &[version, "-sess_out", session]).await;
            // It shows no certificate now.
            let said = said_to(edge, from, None, &[version, "-sess_in", session]).await;
            assert!(said.contains("reused, tlsv1."), "{said}");
            let line = edge.log_lines(lines + 2).await.remove(lines + 1);
            let digits = fingerprint(from, "client");
            let subject = name.map(|_| "CN=client");
            is_told(&said, &line, verify, subject, &digits);
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_only_where_the_same_authorities_vouch_in_the_same_way() {
    let (authority, target) = (authority(), Target::showing().await);
    let other = self::authority();
    let keys = authority.file("tickets");
    fs::write(&keys, openssl(&["rand", "-base64", "32"])).unwrap();
    let server = format!("sessionTicketKeyFile: {}", keys.display());
    let with = |clients: String| configuration(&authority, &clients, &target).server(&server);
    let (ca, other_ca) = (authority.file("ca.crt"), other.file("ca.crt"));
    let optional = Edge::start(&with(clients(&ca, "optional"))).await;
    let same = Edge::start(&with(clients(&ca, "optional"))).await;
    let required = Edge::start(&with(clients(&ca, "require"))).await;
    let elsewhere = Edge::start(&with(clients(&other_ca, "optional"))).await;
    let without = Edge::start(&with(String::new())).await;
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    for version in VERSIONS {
        for (from, to, is_resumed) in [
            (&optional, &same, true),
            (&optional, &required, false),
            (&required, &optional, false),
            (&optional, &elsewhere, false),
            (&optional, &without, false),
            (&without, &optional, false),
            (&without, &required, false),
        ] {
            said_to(
                from,
                &authority,
                Some("client"),
                &[version, "-sess_out", session],
            )
            .await;
            let said = said_to(to, &authority, None, &[version, "-sess_in", session]).await;
            assert_eq!(said.contains("reused, tlsv1."), is_resumed, "{said}");
        }
    }
}

#[tokio::test]
async fn no_client_can_say_it_of_itself() {
    let (authority, target) = (authority(), Target::showing().await);
    let plain = Edge::forwarding_to(&[target.address]).await;
    let encrypted = Edge::start(&configuration(&authority, "", &target)).await;
    let optional = start(&authority, "optional", &target).await;
    let forged = "X-Client-Certificate-Verify: SUCCESS\r\n\
        x-client-certificate-subject: CN=root\r\n\
        X-CLIENT-CERTIFICATE-FINGERPRINT: 00\r\n\
        X_Client_Certificate_Verify: SUCCESS\r\n\
        X-Client_Certificate-Subject: CN=root\r\n";
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{forged}Connection: close, X-Client-Certificate-Verify\r\n\r\n"
    );
    let certificate = "x-client-certificate";
    let seen = |text: &str| {
        let text = text.to_lowercase().replace('_', "-");
        let lines = text.lines().filter(|line| line.starts_with(certificate));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let answer = plain.request(&request).await;
    assert_eq!(seen(answer.text()), [""; 0], "{}", answer.text());
    for (edge, expected) in [
        (&encrypted, None),
        (&optional, Some("x-client-certificate-verify: none")),
    ] {
        let mut client = authority.connect(edge.address, HOST).await;
        client.send(&request).await;
        let answer = client.answer().await;
        let expected = Vec::from_iter(expected);
        assert_eq!(seen(answer.text()), expected, "{}", answer.text());
    }
}

#[tokio::test]
async fn the_target_is_told_over_http_2_too() {
    let (authority, target) = (authority(), Target::showing().await);
    let edge = start(&authority, "require", &target).await;
    let file = |name: &str| authority.file(name).to_str().unwrap().to_owned();
    let port = edge.address.port();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", "--http2", "--noproxy", "*"]);
    curl.args(["--cacert", &file("ca.crt"), "--cert", &file("client.crt")]);
    curl.args(["--key", &file("client.key")]);
    curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
    curl.args(["-H", "X-Client-Certificate-Subject: CN=root"]);
    curl.arg(format!("https://{HOST}:{port}/"));
    let output = soon("curl's end", curl.kill_on_drop(true).output()).await;
    let said = String::from_utf8_lossy(&output.unwrap().stdout).to_lowercase();
    assert!(said.starts_with("http/2 200"), "{said}");
    let digits = fingerprint(&authority, "client");
    for line in [
        "\nx-client-certificate-verify: success\r\n",
        "\nx-client-certificate-subject: cn=client\r\n",
        &format!("\nx-client-certificate-fingerprint: {digits}\r\n"),
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("root"), "{said}");
}

#[tokio::test]
async fn conditions_see_what_is_true_of_the_certificate() {
    let (authority, target) = (authority(), Target::answering("let in").await);
    let clients = clients(&authority.file("ca.crt"), "optional");
    let condition =
        "{type: HEADER, key: X-Client-Certificate-Verify, condition: EQUALS, value: SUCCESS}";
    let configuration = configuration(&authority, &clients, &target)
        .http_rule(&format!("conditions: [{condition}]"));
    let edge = Edge::start(&configuration).await;
    let said = said_to(&edge, &authority, Some("client"), &[]).await;
    assert!(said.contains("let in"), "{said}");
    let mut client = authority.connect(edge.address, HOST).await;
    let forged = "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Certificate-Verify: SUCCESS\r\n\r\n";
    client.send(forged).await;
    assert_eq!(client.answer().await.status, 404);
}

#[tokio::test]
async fn authorities_that_change_on_disk_vouch_from_then_on() {
    let (authority, target) = (authority(), Target::showing().await);
    let other = self::authority();
    let folder = authority.file("live");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("ca.crt");
    fs::copy(authority.file("ca.crt"), &file).unwrap();
    let clients = clients(&file, "require");
    let edge = Edge::start(&configuration(&authority, &clients, &target)).await;
    let session = authority.file("session");
    let session = session.to_str().unwrap();
    let is_let_in = async |from: &Authority, name, arguments: &[&str]| {
        let said = said_to(&edge, from, name, arguments).await;
        said.contains("http/1.1 200")
    };
    assert!(is_let_in(&authority, Some("client"), &["-sess_out", session]).await);
    assert!(!is_let_in(&other, Some("client"), &[]).await);
    fs::write(&file, "half").unwrap();
    let path = file.to_str().unwrap().to_owned();
    let fault = "forwardingRules[0].clientCertificates.caFile: has no certificate";
    let is_told = || (edge.errors_about(fault) == 1 && edge.errors_about(&path) == 1).then_some(());
    eventually("it is told", is_told).await;
    assert!(is_let_in(&authority, Some("client"), &[]).await);
    fs::copy(other.file("ca.crt"), &file).unwrap();
    let comes = async { while !is_let_in(&other, Some("client"), &[]).await {} };
    soon("the other authority vouches", comes).await;
    assert!(!is_let_in(&authority, Some("client"), &[]).await);
    assert!(!is_let_in(&authority, None, &["-sess_in", session]).await);
}

#[test]
fn what_is_odd_about_authorities_is_told() {
    let authority = authority();
    let file = authority.file("culvert.yaml");
    let clients = clients(&authority.file("client.crt"), "require");
    let rule = Config::answering("")
        .rule(&clients)
        .rule("listenerPort: 8443");
    let rule = rule.tls(&authority, &["one"]);
    fs::write(&file, rule.to_string()).unwrap();
    let output = run(&["-t", "-c", file.to_str().unwrap()], Path::new("/"));
    let said = String::from_utf8(output.stderr).unwrap();
    let place = "forwardingRules[0] \"edge\": clientCertificates.caFile";
    let expected = format!(
        "{}: warning: {place}: certificate 1 is not that of an authority\n",
        file.display()
    );
    assert_eq!(without_positions(&said), expected);
    assert!(output.status.success());
}
