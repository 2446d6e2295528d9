//! Endpoints that change change their group, and those that end are drained.

use serde_json::json;

use crate::harness::{ApiServer, Connection, Target, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_change_leave_rules_and_other_tunnels_as_they_are() {
    let server = ApiServer::start().await;
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    server.serve("a", one.address);
    server.serve("b", one.address);
    let edge = server.node("one").await;
    server.answers("/a", "one").await;
    server.answers("/b", "one").await;
    let (mut client, _) = Connection::tunnel(server.gateway, "/b").await;
    server.is_quiet().await;
    let shown = edge.metric("gateway_objects{kind=\"HTTPRoute\"}");
    let writes = server.status_writes();
    server.put_service("a", other.address);
    server.answers("/a", "other").await;
    client.say_hi().await;
    server.answers("/b", "one").await;
    assert_eq!(edge.metric("gateway_objects{kind=\"HTTPRoute\"}"), shown);
    assert_eq!(server.status_writes(), writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_ends_is_drained_and_serves_only_where_nothing_else_is_left() {
    let server = ApiServer::start().await;
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    server.serve("a", one.address);
    let _edge = server.node("one").await;
    server.answers("/a", "one").await;
    let (mut client, _) = Connection::tunnel(server.gateway, "/a").await;
    let ending = json!({"ready": false, "serving": true, "terminating": true});
    // Nothing else is left.
    server.put_endpoint("a", "a", one.address, &ending);
    for _ in 0..20 {
        server.answers("/a", "one").await;
    }
    server.put_endpoint("a-2", "a", other.address, &json!({"ready": true}));
    server.answers("/a", "other").await;
    let before = one.connections();
    for _ in 0..20 {
        server.answers("/a", "other").await;
    }
    assert_eq!(one.connections(), before);
    client.say_hi().await;
    server.delete("endpointslices", "a");
    server.delete("endpointslices", "a-2");
    eventually("nothing is left", || {
        let answer = crate::harness::edge::get_now(server.gateway, "/a")?;
        answer.contains(" 503 ").then_some(())
    })
    .await;
    client.say_hi().await;
}
