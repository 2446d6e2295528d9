//! The copy of a node follows what is in etcd, and says where it does not.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::harness::api::Api;
use crate::harness::process::run;
use crate::harness::{Etcd, eventually};

fn export(node: &Api) -> Output {
    let conf = node.edge.file();
    run(
        &["-c", conf.to_str().unwrap(), "api", "export"],
        Path::new("/"),
    )
}

#[tokio::test]
async fn a_copy_that_is_gone_is_written_again() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let id = node.group();
    fs::remove_file(node.edge.folder.path().join("api.journal")).unwrap();
    eventually("the copy", || {
        let export = String::from_utf8(export(&node).stdout).unwrap();
        export.contains(id.as_str().unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_export_of_a_copy_that_is_behind_says_so() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let mut node = etcd.node("one", "").await;
    node.group();
    node.edge.signal("KILL");
    node.edge.exited().await;
    let said = |node: &Api| String::from_utf8(export(node).stderr).unwrap();
    let warning = "the copy is behind";
    assert!(!said(&node).contains(warning));
    fs::write(node.edge.folder.path().join("api.journal.behind"), "").unwrap();
    assert!(said(&node).contains(warning), "{}", said(&node));
    // Once the node serves again it catches up.
    node.edge.start_again().await;
    eventually("a copy that is whole", || {
        (!said(&node).contains(warning)).then_some(())
    })
    .await;
}
