//! Blocks of addresses in a file of their own: for whom a rule is, and what becomes of a change.

use std::fs;
use std::path::Path;

use crate::command_line::text;
use crate::harness::process::run;
use crate::harness::{Config, Edge, eventually};

/// A configuration that turns away whom the file has.
fn turning_away(file: &Path) -> Config {
    let condition = format!("{{type: SOURCE_IP, valuesFile: {}}}", file.display());
    Config::answering("hello").http_rules(&format!(
        "{{name: blocked, type: STATIC, statusCode: 403, responseMessage: '', \
         conditions: [{condition}]}}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_file_is_known_at_once_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocked.txt");
    fs::write(
        &file,
        "# nobody yet\n192.0.2.0/24 # but these\n\n2001:db8::/32\n",
    )
    .unwrap();
    let edge = Edge::start(&turning_away(&file)).await;
    assert_eq!(edge.get("/").await.status, 200);
    let mut client = edge.connect().await;

    fs::write(&file, "192.0.2.0/24\n127.0.0.1\n").unwrap();
    edge.says("blocked.txt: the 2 blocks on disk are used")
        .await;
    assert_eq!(edge.get("/").await.status, 403);
    // What is open is judged by it, too.
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.answer_to_end().await.status, 403);

    fs::write(&file, "192.0.2.0/24\n10.0.0.0/33\n").unwrap();
    edge.says("blocked.txt:2: must be a block of IP addresses")
        .await;
    edge.says("what was read before stays in use").await;
    assert_eq!(edge.get("/").await.status, 403);

    fs::write(&file, "192.0.2.0/24\n").unwrap();
    edge.says("blocked.txt: the 1 blocks on disk are used")
        .await;
    assert_eq!(edge.get("/").await.status, 200);
    let explained = || {
        let arguments = [
            "explain",
            "-c",
            "culvert.yaml",
            "--client",
            "192.0.2.7",
            "/",
        ];
        let output = run(&arguments, edge.file().parent()?);
        text(&output.stdout).contains("SOURCE_IP").then_some(())
    };
    eventually("it is explained", explained).await;
}

#[test]
fn what_is_wrong_with_the_file_is_told_with_its_line_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocked.txt");
    let configuration = turning_away(&file).rule("listenerPort: 8080");
    fs::write(folder.path().join("edge.yaml"), configuration.to_string()).unwrap();
    for (blocks, expected) in [
        (
            Some("10.0.0.0/8\nsecret words\n"),
            ":2: must be a block of IP addresses",
        ),
        (Some("10.0.0.1/33"), ":1: must be a block of IP addresses"),
        (Some("# nothing\n"), "has no block of addresses"),
        (None, ": cannot be read: No such file"),
    ] {
        match blocks {
            Some(blocks) => fs::write(&file, blocks).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let output = run(&["-t", "-c", "edge.yaml"], folder.path());
        let said = text(&output.stderr);
        assert!(
            said.contains(expected) && !said.contains("secret"),
            "{said}"
        );
        assert!(said.contains("conditions[0].valuesFile: "), "{said}");
    }
}
