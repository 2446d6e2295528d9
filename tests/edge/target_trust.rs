//! Whose certificate is taken of a target in TLS, and what is told of one that is not, or of
//! authorities that cannot be read.

use rcgen::KeyPair;

use crate::harness::process::{run, without_positions};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::tls::{Answering, TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Authority, Connection, Edge, Target};
use crate::target_tls::{connect_errors, edge_before, refused_handshake};

#[tokio::test]
async fn a_host_is_asked_for_and_an_address_is_verified_without_asking() {
    let authority = Authority::new();
    authority.issue("named", &[HOST]);
    authority.issue("addressed", &["127.0.0.1"]);
    for (certificate, name, asked) in [
        ("named", format!("serverName: {HOST}"), HOST),
        ("addressed", String::new(), "nobody"),
    ] {
        let target = authority.target(certificate, async |mut connection: Answering| {
            let asked = connection.stream.get_ref().1.server_name();
            let asked = asked.unwrap_or("nobody").to_owned();
            let head = connection.head().await;
            match head.contains("Upgrade") {
                true => {
                    connection.send(switching_protocols(&head)).await;
                    connection.send(asked).await;
                    connection.to_end().await;
                }
                false => connection.send(ok(&asked)).await,
            }
        });
        let target = target.await;
        let file = authority.file("ca.crt");
        let keys = format!("caFile: {}, {name}", file.display());
        let edge = Edge::start(&over_tls(&keys, &[target.address])).await;
        assert_eq!(edge.get("/").await.text(), asked);
        let (mut client, _) = edge.tunnel().await;
        assert_eq!(client.exactly(asked.len()).await, asked.as_bytes());
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_verified_is_a_connect_error_and_the_log_says_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    stranger.issue("one", &[HOST]);
    authority.issue("other", &["other.example"]);
    authority.issue_for("expired", &[HOST], &KeyPair::generate().unwrap(), -1);
    let plain = Target::scripted(async |mut connection: Connection| {
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.to_end().await;
    });
    let plain = plain.await;
    for (target, error) in [
        (
            stranger.serving("one").await,
            "target certificate: unknown issuer",
        ),
        (
            authority.serving("other").await,
            "target certificate: wrong name",
        ),
        (
            authority.serving("expired").await,
            "target certificate: expired",
        ),
        (plain, "target TLS: the answer is not TLS"),
        (
            Target::scripted(async |_| ()).await,
            "target TLS: it closed the connection",
        ),
    ] {
        let edge = edge_before(&authority, "{}", &target).await;
        let answers = [edge.get("/").await, refused_handshake(&edge).await];
        let lines = edge.log_lines(2).await;
        for (answer, line) in answers.iter().zip(&lines) {
            assert_eq!(answer.status, 503, "{error}");
            assert_eq!(line["closeReason"], "refused");
            assert_eq!(line["error"], error);
        }
        assert_eq!(connect_errors(&edge, target.address), 2.0, "{error}");
    }
}

#[tokio::test]
async fn another_target_is_tried_where_the_first_cannot_be_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &[HOST]);
    stranger.issue("one", &[HOST]);
    let (good, bad) = (
        authority.serving("one").await,
        stranger.serving("one").await,
    );
    let targets = [good.address, bad.address];
    let edge = Edge::start(&over_tls(&trusting(&authority), &targets)).await;
    for _ in 0..4 {
        assert_eq!(edge.get("/").await.text(), "hello");
        let (mut client, _) = edge.tunnel().await;
        client.say_hi().await;
    }
    assert_eq!(connect_errors(&edge, good.address), 0.0);
    assert_eq!(connect_errors(&edge, bad.address), 4.0);
}

#[tokio::test]
async fn with_verify_certificate_false_any_certificate_is_taken_with_a_warning() {
    let stranger = Authority::new();
    stranger.issue_for("one", &["other.example"], &KeyPair::generate().unwrap(), -1);
    let target = stranger.serving("one").await;
    let edge = Edge::start(&over_tls("verifyCertificate: false", &[target.address])).await;
    assert_eq!(edge.get("/").await.text(), "hello");
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
    let warning =
        "warning: targetGroups[0] \"group\": verifyCertificate: nobody's certificate is verified";
    edge.says(warning).await;
}

#[test]
fn what_is_wrong_with_a_ca_file_is_told_with_its_place() {
    let authority = Authority::new();
    let good = std::fs::read_to_string(authority.file("ca.crt")).unwrap();
    let write = |name: &str, text: String| std::fs::write(authority.file(name), text).unwrap();
    write("torn.crt", good.replace("-----END", ""));
    write("malformed.crt", good.replacen("MII", "AAA", 1));
    write("second.crt", good.clone() + &good.replacen("MII", "AAA", 1));
    write("two.crt", good.clone() + &good);
    let key = KeyPair::generate().unwrap();
    write("key.crt", key.serialize_pem());
    let folder = authority.file("");
    for (name, problem) in [
        ("ca.crt", None),
        ("two.crt", None),
        (
            "torn.crt",
            Some("a PEM section has no end (-----END …-----)"),
        ),
        ("malformed.crt", Some("certificate 1 is malformed")),
        ("second.crt", Some("certificate 2 is malformed")),
        (
            "key.crt",
            Some("has no certificate (-----BEGIN CERTIFICATE-----)"),
        ),
    ] {
        let keys = format!("caFile: {}", authority.file(name).display());
        let configuration = over_tls(&keys, &[]).rule("listenerPort: 8080");
        write("culvert.yaml", configuration.to_string());
        let output = run(&["-t", "--offline", "-c", "culvert.yaml"], &folder);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), problem.is_none(), "{name}: {said}");
        if let Some(problem) = problem {
            assert_eq!(
                without_positions(&said),
                format!("culvert.yaml: targetGroups[0] \"group\": caFile: {problem}\n")
            );
        }
    }
}
