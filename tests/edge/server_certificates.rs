//! Who is shown which certificate, and what is told of certificates and keys that cannot be used.

use rcgen::KeyPair;

use crate::harness::process::{run, without_positions};
use crate::harness::tls::{HOST, forwarding, openssl};
use crate::harness::{Authority, Config, Edge, Target};
use crate::tls_relay::shown;

#[tokio::test]
async fn a_client_is_shown_the_certificate_for_the_host_that_it_asks_for() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["first", "wildcard", "exact"];
    authority.issue("first", &["first.example"]);
    authority.issue("wildcard", &["*.example.com"]);
    authority.issue("exact", &["a.example.com", "example.com"]);
    let with = |settings| forwarding(&authority, &names, settings, target.address);
    let edge = Edge::start(&with("")).await;
    let strict = Edge::start(&with("strictSni: true")).await;
    for (host, lax, in_strict) in [
        (Some("first.example"), "first", Some("first")),
        (Some("a.example.com"), "exact", Some("exact")),
        (Some("A.Example.COM"), "exact", Some("exact")),
        (Some("example.com"), "exact", Some("exact")),
        (Some("b.example.com"), "wildcard", Some("wildcard")),
        (Some("a.b.example.com"), "first", None),
        (Some("other.example"), "first", None),
        (None, "first", None),
    ] {
        let arguments = match host {
            Some(host) => ["-servername", host].to_vec(),
            None => ["-noservername"].to_vec(),
        };
        let found = shown(&edge, &authority, &names, &arguments).await;
        assert_eq!(found, Some(lax), "{host:?}");
        let found = shown(&strict, &authority, &names, &arguments).await;
        assert_eq!(found, in_strict, "{host:?}, strictly");
    }
    strict.refused("tls_handshake", 3).await;
    assert_eq!(edge.refusals("tls_handshake"), 0.0);
    assert!(edge.log().is_empty() && strict.log().is_empty());
}

#[tokio::test]
async fn of_an_rsa_and_an_ecdsa_certificate_a_client_is_shown_one_that_it_can_verify() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let names = ["rsa", "ecdsa"];
    authority.issue_rsa("rsa", &[HOST]);
    authority.issue("ecdsa", &[HOST]);
    let edge = Edge::start(&forwarding(&authority, &names, "", target.address)).await;
    for (arguments, expected) in [
        (&["-tls1_3"][..], "ecdsa"),
        (&["-tls1_2"], "ecdsa"),
        (&["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsa"),
        (&["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ecdsa"),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            "rsa",
        ),
        (&["-tls1_2", "-sigalgs", "RSA+SHA256"], "rsa"),
    ] {
        let arguments = [&["-servername", HOST], arguments].concat();
        let found = shown(&edge, &authority, &names, &arguments).await;
        assert_eq!(found, Some(expected), "{arguments:?}");
    }
}

#[tokio::test]
async fn the_metrics_say_when_each_certificate_expires() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &[HOST]);
    authority.issue("two", &[HOST]);
    let expiry =
        |name| format!("certificate_not_after_timestamp_seconds{{certificate=\"{name}\"}}");
    let with = |names: &[&str]| forwarding(&authority, names, "", target.address);
    let edge = Edge::start(&with(&["one", "two"])).await;
    let file = authority.file("one.crt");
    let said = openssl(&[
        "x509",
        "-in",
        file.to_str().unwrap(),
        "-noout",
        "-enddate",
        "-dateopt",
        "iso_8601",
    ]);
    let date = said
        .trim()
        .trim_start_matches("notAfter=")
        .replace(' ', "T");
    let expected = humantime::parse_rfc3339(&date).unwrap();
    let expected = expected.duration_since(std::time::UNIX_EPOCH).unwrap();
    edge.metric_becomes(&expiry("one"), expected.as_secs_f64())
        .await;
    edge.reload(&with(&["two"])).await;
    assert_eq!(edge.metric(&expiry("one")), 0.0);
    assert!(edge.metric(&expiry("two")) > 0.0);
}

#[test]
fn what_is_wrong_with_certificates_and_keys_is_told_with_its_place() {
    let authority = Authority::new();
    authority.issue("good", &[HOST]);
    authority.issue("other", &[HOST]);
    authority.issue_for("expired", &[HOST], &KeyPair::generate().unwrap(), -3);
    authority.issue_for("soon", &[HOST], &KeyPair::generate().unwrap(), 5);
    authority.issue("nameless", &[]);
    let read = |name: &str| std::fs::read_to_string(authority.file(name)).unwrap();
    let write = |name: &str, text: String| std::fs::write(authority.file(name), text).unwrap();
    let [good, key] = ["good.crt", "good.key"].map(read);
    write("torn.crt", good.replace("-----END", ""));
    write("malformed.crt", good.replacen("MII", "AAA", 1));
    write("disordered.crt", good.clone() + &read("other.crt"));
    write("full.crt", good + &read("ca.crt"));
    let file = |name: &str| authority.file(name).to_str().unwrap().to_owned();
    let pass = ["-aes256", "-passout", "pass:secret"];
    let good_key = file("good.key");
    let encrypted = [&["pkey", "-in", &good_key][..], &pass].concat();
    write("encrypted.key", openssl(&encrypted));
    write("sec1.key", openssl(&["ec", "-in", &good_key]));
    write(
        "p521.key",
        openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-521",
        ]),
    );
    write("torn.key", key.replace("-----END", ""));
    for (chain, key, expected) in [
        ("good.crt", "good.key", Ok("")),
        ("full.crt", "sec1.key", Ok("")),
        (
            "expired.crt",
            "expired.key",
            Ok("certificateChain: expired on "),
        ),
        ("soon.crt", "soon.key", Ok("certificateChain: expires on ")),
        (
            "nameless.crt",
            "nameless.key",
            Ok("certificateChain: has no DNS name"),
        ),
        (
            "disordered.crt",
            "good.key",
            Ok("certificateChain: certificate 1 was not issued by certificate 2"),
        ),
        (
            "good.crt",
            "other.key",
            Err("privateKey: is not the key of the first certificate in certificateChain"),
        ),
        (
            "torn.crt",
            "good.key",
            Err("certificateChain: a PEM section has no end"),
        ),
        (
            "malformed.crt",
            "good.key",
            Err("certificateChain: certificate 1 is malformed"),
        ),
        (
            "good.key",
            "good.key",
            Err("certificateChain: has no certificate"),
        ),
        (
            "good.crt",
            "good.crt",
            Err("privateKey: has no private key"),
        ),
        (
            "good.crt",
            "encrypted.key",
            Err("privateKey: is encrypted, which is not supported"),
        ),
        (
            "good.crt",
            "p521.key",
            Err("privateKey: has no key that can be used"),
        ),
        (
            "good.crt",
            "torn.key",
            Err("privateKey: a PEM section has no end"),
        ),
        (
            "none.crt",
            "good.key",
            Err("certificateChain: FILE: cannot be read: No such file"),
        ),
    ] {
        let (chain, key) = (file(chain), file(key));
        let top =
            format!("certificates: [{{name: a, certificateChain: {chain}, privateKey: {key}}}]");
        let configuration = Config::answering("")
            .top(&top)
            .rule("listenerPort: 8443, serverCertificates: [a]");
        write("culvert.yaml", configuration.to_string());
        let path = file("culvert.yaml");
        let output = run(&["-t", "-c", &path], std::path::Path::new("/"));
        let said = without_positions(&String::from_utf8(output.stderr).unwrap());
        let expected_line = match expected {
            Ok("") => String::new(),
            Ok(warning) => format!("{path}: warning: certificates[0] \"a\": {warning}"),
            Err(problem) => {
                format!("{path}: certificates[0] \"a\": {problem}").replace("FILE", &chain)
            }
        };
        assert!(said.starts_with(&expected_line), "{chain} {key}: {said}");
        assert!(said.lines().count() <= 1, "{chain} {key}: {said}");
        assert_eq!(said.is_empty(), expected == Ok(""), "{chain} {key}: {said}");
        assert_eq!(output.status.success(), expected.is_ok(), "{chain} {key}");
    }
}
