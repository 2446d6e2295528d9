//! What has become of a write is found out, also where etcd is late with its answer.

use std::thread;

use crate::harness::admin::{self, ask_at};
use crate::harness::api::{Reply, group_path};
use crate::harness::{Etcd, eventually};

#[tokio::test]
async fn a_write_whose_answer_is_late_is_answered_truly() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let path = group_path(&node.group());
    etcd.signal("STOP");
    let (address, place) = (node.address, path.clone());
    let asking = thread::spawn(move || ask_at(address, "PATCH", &place, &[], "{\"name\": \"b\"}"));
    // The write is on its way: etcd will do it, or what is written to find out about it.
    node.edge.says("no answer within 2s").await;
    etcd.signal("CONT");
    eventually("an answer", || asking.is_finished().then_some(())).await;
    let reply = Reply::of(&asking.join().unwrap());
    assert_eq!(reply.status(), 202, "{reply:?}");
    assert_eq!(node.get(&path)["properties"]["name"], "b");
    let kept = etcd.ctl(&["get", "--prefix", "/culvert/objects/targetgroups/"]);
    assert!(kept.contains("\"name\":\"b\""), "{kept}");
    // It was made once.
    let requests = node.get("/cloudapi/v6/requests");
    assert_eq!(requests["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn where_etcd_says_nothing_the_answer_does_not_claim_that_nothing_was_written() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let path = group_path(&node.group());
    etcd.signal("STOP");
    let reply = node.ask("PATCH", &path, &[], "{\"name\": \"b\"}");
    reply.is_refused(500);
    let message = reply.body["messages"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("it is not known whether this is done"),
        "{message}"
    );
    // The next one is not even tried.
    node.ask("PATCH", &path, &[], "{\"name\": \"c\"}")
        .is_refused(507);
    assert_eq!(node.get(&path)["properties"]["name"], "group");
    etcd.signal("CONT");
    eventually("writes again", || {
        (node.ask("PATCH", &path, &[], "{\"name\": \"d\"}").status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_etcd_says_nothing_to_a_write_a_reload_and_the_admin_address_go_on() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let path = group_path(&node.group());
    etcd.signal("STOP");
    let address = node.address;
    let asking = thread::spawn(move || ask_at(address, "PATCH", &path, &[], "{\"name\": \"b\"}"));
    node.edge.says("no answer within 2s").await;
    let file = std::fs::read_to_string(node.edge.file()).unwrap();
    node.edge.reload(&file).await;
    admin::get(&node.edge, "/api/v1/status");
    assert!(!asking.is_finished());
    etcd.signal("CONT");
    eventually("an answer", || asking.is_finished().then_some(())).await;
    assert_eq!(Reply::of(&asking.join().unwrap()).status(), 202);
}
