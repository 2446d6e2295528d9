//! What a node has kept is put back into an etcd that has lost it.

use std::path::Path;

use serde_json::json;

use crate::harness::api::{Api, GROUPS};
use crate::harness::process::run;
use crate::harness::{Etcd, eventually};

/// How many groups there are: more than etcd takes at once.
const GROUPS_MADE: usize = 130;

/// What `culvert api` says with the configuration of a node.
fn api(node: &Api, arguments: &[&str]) -> String {
    let conf = node.edge.file();
    let arguments = [&["-c", conf.to_str().unwrap(), "api"], arguments].concat();
    let output = run(&arguments, Path::new("/"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn count(node: &Api) -> Option<usize> {
    let groups = node.get(&format!("{GROUPS}?limit=200"));
    groups["items"].as_array().map(Vec::len)
}

#[tokio::test]
async fn what_a_node_exports_can_be_imported_into_an_etcd_that_has_lost_it() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    for _ in 1..GROUPS_MADE {
        one.group();
    }
    eventually("all at the other", || {
        (count(&other) == Some(GROUPS_MADE)).then_some(())
    })
    .await;
    let export = one.edge.folder.path().join("export.json");
    std::fs::write(&export, api(&one, &["export"])).unwrap();
    etcd.ctl(&["del", "--prefix", "/culvert/"]);
    eventually("a refusal", || {
        (one.post_group("g").status() == 507).then_some(())
    })
    .await;
    let said = api(&one, &["import", export.to_str().unwrap()]);
    assert_eq!(
        said.trim(),
        format!("culvert: {GROUPS_MADE} objects are imported")
    );
    eventually("a write", || {
        (one.post_group("g").status() == 202).then_some(())
    })
    .await;
    eventually("it at the other", || {
        (count(&other) == Some(GROUPS_MADE + 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_import_takes_the_place_of_all_that_is_there_in_one_step() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let kept = node.group();
    let export = node.edge.folder.path().join("export.json");
    std::fs::write(&export, api(&node, &["export"])).unwrap();
    node.group();
    node.patch(
        &format!("{GROUPS}/{}", kept.as_str().unwrap()),
        &json!({"name": "later"}),
    );
    api(&node, &["import", export.to_str().unwrap()]);
    eventually("what was exported", || {
        let groups = node.get(&format!("{GROUPS}?depth=1"));
        let groups = groups["items"].as_array()?;
        (groups.len() == 1 && groups[0]["properties"]["name"] == "group").then_some(())
    })
    .await;
}
