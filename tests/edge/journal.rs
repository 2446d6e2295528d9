//! A process that dies leaves a line for each tunnel that was open: another process writes them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::edge::free_addresses;
use crate::harness::http2::Http2;
use crate::harness::{Config, Edge, Target, eventually};

/// An edge that notes its tunnels in the folder `tunnels` of its own.
async fn start(target: &Target, keys: &str) -> Edge {
    let config = Config::forwarding_to(&[target.address]).rule(keys);
    let config = config.top("accessLog: {journal: FOLDER/tunnels}");
    Edge::start(&config.upgradable()).await
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder.join("tunnels")).unwrap().count()
}

#[tokio::test]
async fn the_tunnels_of_a_process_that_was_killed_have_lines_and_those_that_were_over_one_each() {
    let target = Target::echo().await;
    let mut edge = start(&target, "").await;
    let file = edge.file();
    let folder = file.parent().unwrap();
    let (first, _) = edge.tunnel().await;
    let (_second, _) = edge.tunnel().await;
    let (_third, _) = edge.tunnel().await;
    drop(first);
    edge.log_lines(1).await;
    edge.signal("KILL");
    edge.exited().await;
    edge.start_again().await;
    let lines = edge.log_lines(2).await;
    for line in &lines {
        assert_eq!(line["closeReason"], "process_crash", "{line}");
        assert_eq!(line["upgrade"], "websocket");
        assert_eq!(line["forwardingRule"], "edge");
        assert_eq!(line["target"], target.address.to_string());
        assert!(line["durationMs"].as_f64().is_some());
        assert!(line.get("requestBodyBytes").is_none());
    }
    assert_ne!(lines[0]["clientPort"], lines[1]["clientPort"]);
    eventually("the file of the dead is gone", || {
        (files(folder) == 1).then_some(())
    })
    .await;
    edge.signal("TERM");
    edge.exited().await;
    assert_eq!(files(folder), 0);
}

#[tokio::test]
async fn the_lines_of_an_old_process_that_dies_are_written_by_the_new_one() {
    let target = Target::echo().await;
    let edge = start(&target, "h2c: true").await;
    let mut client = Http2::connect(edge.address).await;
    let _tunnel = client.tunnel("/").await;
    let new = edge.hand_over().await;
    edge.signal("KILL");
    let is_crash = |line: &String| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["closeReason"] == "process_crash").then_some(line)
    };
    let line = eventually("its line", || new.lines().iter().find_map(is_crash)).await;
    assert_eq!(line["httpVersion"], "HTTP/2", "{line}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_keeps_the_process_from_starting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let [address, admin] = free_addresses();
    let journal = file.path().display();
    let top = format!("admin: {{listen: '{admin}'}}, accessLog: {{journal: {journal}/a}}");
    let config = Config::answering("hello").listen(address).top(&top);
    let folder = tempfile::tempdir().unwrap();
    let path = config.write_to(folder.path());
    let output = crate::harness::process::run(&["-c", path.to_str().unwrap()], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("accessLog.journal: "), "{said}");
}
