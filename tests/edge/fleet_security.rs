//! Between nodes and etcd there is TLS, and there are users.

use std::fs;

use crate::harness::{Authority, Config, Etcd, eventually};

#[tokio::test]
async fn a_node_shows_etcd_a_certificate_and_writes_by_tls() {
    let authority = Authority::new();
    for name in ["member", "operator", "node"] {
        authority.issue(name, &["127.0.0.1"]);
    }
    let Some(etcd) = Etcd::encrypted(&authority).await else {
        return;
    };
    let ca = authority.file("ca.crt");
    let keys = format!(
        "api: {{store: {{caFile: {}, certificate: node}}}}",
        ca.display()
    );
    let config = Config::answering("hello").certificates(&authority, &["node"]);
    let node = etcd.node_with(config.top(&keys), "one", "").await;
    node.group();
    let kept = etcd.ctl(&["get", "--prefix", "/culvert/objects/"]);
    assert!(kept.contains("\"name\":\"group\""), "{kept}");
    // Without a certificate nothing is written.
    let keys = format!("api: {{store: {{caFile: {}}}}}", ca.display());
    let other = Config::answering("hello").top(&keys);
    let other = etcd.unready_node(other, "other").await;
    eventually("a refusal", || {
        (other.post_group("g").status() == 507).then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_etcd_wants_a_user_a_node_is_one() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.want_user("secret");
    let folder = tempfile::tempdir().unwrap();
    let with = |password: &str| {
        let file = folder.path().join(password);
        fs::write(&file, format!("{password}\n")).unwrap();
        let keys = format!(
            "api: {{store: {{user: root, passwordFile: {}}}}}",
            file.display()
        );
        Config::answering("hello").top(&keys)
    };
    let node = etcd.node_with(with("secret"), "one", "").await;
    node.group();
    let kept = etcd.ctl(&["get", "--prefix", "/culvert/objects/"]);
    assert!(kept.contains("\"name\":\"group\""), "{kept}");
    let other = etcd.unready_node(with("nonsense"), "other").await;
    eventually("a refusal", || {
        (other.post_group("g").status() == 507).then_some(())
    })
    .await;
    let diagnostics = eventually("a word", || {
        let said = other.edge.diagnostics();
        said.contains("the password of the user is wrong")
            .then_some(said)
    })
    .await;
    assert!(!diagnostics.contains("nonsense"), "{diagnostics}");
}
