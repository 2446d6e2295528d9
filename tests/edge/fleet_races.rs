//! Many write at once, at all nodes, to one object.

use std::collections::HashSet;
use std::thread;

use serde_json::json;

use crate::harness::api::{Api, group_path};
use crate::harness::{Etcd, eventually};

const WRITERS: usize = 12;
const WRITES: usize = 20;

/// The names with which a group was written, of those that were tried.
fn write(api: &Api, path: &str, writer: usize) -> Vec<String> {
    let name = |write: usize| format!("w{writer}-{write}");
    let is_written = |name: &String| {
        let body = json!({"name": name}).to_string();
        let status = api.ask("PATCH", path, &[], &body).status();
        assert!([202, 409, 429].contains(&status), "{status}");
        status == 202
    };
    (0..WRITES).map(name).filter(is_written).collect()
}

#[tokio::test]
async fn of_many_writers_at_three_nodes_every_answer_is_true() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let nodes = [
        etcd.node("one", "").await,
        etcd.node("two", "").await,
        etcd.node("three", "").await,
    ];
    let path = group_path(&nodes[0].group());
    for node in &nodes {
        let is_there = || (node.ask("GET", &path, &[], "").status() == 200).then_some(());
        eventually("the group", is_there).await;
    }
    let written: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (node, path) = (&nodes[writer % nodes.len()], &path);
                scope.spawn(move || write(node, path, writer))
            })
            .collect();
        let written = writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap());
        written.collect()
    });
    assert!(written.len() > WRITERS, "{}", written.len());
    // Every write that was answered is a request, the same at all nodes, and the last is there.
    let names: HashSet<String> = written.iter().cloned().collect();
    let last = eventually("the same everywhere", || {
        let shown = nodes.each_ref().map(|node| node.get(&path));
        let name = |place: usize| shown[place]["properties"]["name"].clone();
        (name(0) == name(1) && name(1) == name(2)).then(|| name(0))
    })
    .await;
    assert!(names.contains(last.as_str().unwrap()), "{last}");
    for node in &nodes {
        let requests = node.get("/cloudapi/v6/requests?limit=10000");
        // With the one that has made the group.
        assert_eq!(
            requests["items"].as_array().unwrap().len(),
            written.len() + 1
        );
    }
}

#[tokio::test]
async fn a_few_writers_at_two_nodes_all_succeed() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    thread::scope(|scope| {
        for writer in 0..8 {
            let node = if writer % 2 == 0 { &one } else { &other };
            scope.spawn(move || {
                for _ in 0..4 {
                    assert_eq!(node.post_group("g").status(), 202);
                }
            });
        }
    });
}
