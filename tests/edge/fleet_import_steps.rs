//! An import that cannot be made takes nothing away, and one that has begun is ended by the next.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::api::{Api, GROUPS};
use crate::harness::process::run;
use crate::harness::{Etcd, eventually};

/// What `culvert api import` says of this export; whether it went well.
fn import(node: &Api, export: &Value) -> (bool, String) {
    let file = node.edge.folder.path().join("export.json");
    std::fs::write(&file, export.to_string()).unwrap();
    let conf = node.edge.file();
    let paths = [conf.to_str().unwrap(), file.to_str().unwrap()];
    let output = run(&["-c", paths[0], "api", "import", paths[1]], Path::new("/"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

fn export(description: &str) -> Value {
    let stamp = json!({"at": "2026-11-26T00:00:00Z", "by": "test"});
    let datacenter = json!({
        "properties": {"name": "d", "location": "de/txl", "description": description},
        "created": stamp, "modified": stamp,
    });
    let objects = json!({"/datacenters/11111111-1111-4111-8111-111111111111": datacenter});
    json!({"version": 1, "revision": 1, "objects": objects})
}

#[tokio::test]
async fn an_import_of_what_is_too_large_takes_nothing_away() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    node.group();
    let (went_well, said) = import(&node, &export(&"x".repeat(1_500_000)));
    assert!(
        !went_well && said.contains("is too large for etcd"),
        "{said}"
    );
    assert_eq!(node.post_group("g").status(), 202);
    assert_eq!(node.get(GROUPS)["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_is_written_before_an_import_that_has_begun_is_ended() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    node.group();
    let mark = r#"{"fleet": "f", "number": 7}"#;
    etcd.ctl(&["put", "/culvert/import", mark]);
    etcd.ctl(&["del", "/culvert/head"]);
    eventually("a refusal", || {
        let reply = node.post_group("g");
        let message = reply.body["messages"][0]["message"].as_str()?;
        message.contains("are being imported").then_some(())
    })
    .await;
    // The fleet is the same after that as before.
    let head = etcd.ctl(&["get", "/culvert/objects", "--prefix"]);
    assert!(head.contains("group"), "{head}");
    etcd.ctl(&[
        "put",
        "/culvert/import",
        &mark.replace("\"f\"", &fleet(&node)),
    ]);
    let (went_well, said) = import(&node, &export(""));
    assert!(went_well, "{said}");
    assert_eq!(etcd.ctl(&["get", "/culvert/import"]), "");
    eventually("a write", || {
        (node.post_group("g").status() == 202).then_some(())
    })
    .await;
    assert_eq!(node.get(GROUPS)["items"].as_array().unwrap().len(), 1);
}

/// The fleet of a node, as JSON.
fn fleet(node: &Api) -> String {
    let conf = node.edge.file();
    let output = run(
        &["-c", conf.to_str().unwrap(), "api", "export"],
        Path::new("/"),
    );
    let export: Value = serde_json::from_slice(&output.stdout).unwrap();
    export["fleet"].to_string()
}
