//! The access log in a file: it is appended to, and rotated without losing a line.

use crate::harness::edge::lines_of;
use crate::harness::{Config, Edge, Load, eventually};
use crate::operations::{lines, requests};

const LOG: &str = "accessLog: {path: FOLDER/access.log}";

#[tokio::test]
async fn the_access_logs_file_is_appended_to() {
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("access.log");
    std::fs::write(&path, "{\"from\":\"before\"}\n").unwrap();
    let setting = format!("accessLog: {{path: {}}}", path.display());
    for run in 1..=2 {
        let edge = Edge::start(&Config::answering("hello").top(&setting)).await;
        edge.get("/").await;
        let (status, on_stdout) = edge.terminate().await;
        assert_eq!((status.code(), on_stdout.len()), (Some(0), 0));
        assert_eq!(lines(&path).len(), 1 + run);
    }
    assert_eq!(lines(&path)[0]["from"], "before");
}

#[tokio::test]
async fn after_a_rename_sigusr1_begins_a_new_file_and_no_line_is_lost() {
    let edge = Edge::start(&Config::answering("hello").top(LOG)).await;
    let path = edge.folder.path().join("access.log");
    let old = |turn: usize| path.with_extension(turn.to_string());
    let mut client = edge.connect().await;
    for turn in 0..5 {
        requests(&mut client, 100).await;
        std::fs::rename(&path, old(turn)).unwrap();
        edge.signal("USR1");
        requests(&mut client, 100).await;
        eventually("a new file", || path.exists().then_some(())).await;
    }
    requests(&mut client, 100).await;

    let count = || {
        (0..5)
            .map(old)
            .chain([path.clone()])
            .map(|path| lines_of(&path).len())
    };
    eventually("all lines", || {
        (count().sum::<usize>() >= 1100).then_some(())
    })
    .await;
    assert_eq!(count().sum::<usize>(), 1100);
    assert!(count().next_back().is_some_and(|new| new >= 100));
    assert_eq!(edge.metric("access_log_dropped_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_lose_and_split_no_line() {
    const ROTATIONS: usize = 10;
    let mut edge = Edge::start(&Config::answering("hello").top(LOG)).await;
    let path = edge.folder.path().join("access.log");
    let old = |turn: usize| path.with_extension(turn.to_string());
    let load = Load::on(edge.address);
    for turn in 0..ROTATIONS {
        let is_in_use = || (lines_of(&path).len() >= 20).then_some(());
        eventually("lines in the new file", is_in_use).await;
        std::fs::rename(&path, old(turn)).unwrap();
        edge.signal("USR1");
    }
    let requests = load.stop().await;

    edge.signal("TERM");
    assert_eq!(edge.exited().await.code(), Some(0));
    let all: Vec<_> = (0..ROTATIONS).map(old).chain([path.clone()]).collect();
    let counts: Vec<_> = all.iter().map(|path| lines(path).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), requests, "{counts:?}");
}
