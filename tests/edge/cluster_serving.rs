//! What a cluster has serves, and one strange object hides no other.

use serde_json::json;

use crate::harness::api_server::{object, route};
use crate::harness::{ApiServer, Connection, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_of_a_cluster_serves_and_is_told() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    assert_eq!(edge.get("/").await.text(), "file");
    let (mut client, head) = Connection::tunnel(server.gateway, "/chat").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client.say_hi().await;
    server.tells("httproutes", "chat", "Accepted", "True").await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    let gateway = server.get("gateways", "apps", "edge");
    assert_eq!(gateway["status"]["addresses"][0]["value"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_object_hides_no_other_in_a_list_or_in_a_stream() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    let strange = |name: &str| {
        let mut strange = object(name, &json!({"spec": "chat", "status": [1]}));
        strange["metadata"]["labels"] = json!(5);
        strange["metadata"]["annotations"] = json!(["a"]);
        strange["metadata"]["finalizers"] = json!({"a": 1});
        strange
    };
    let plurals = ["httproutes", "gateways", "services", "endpointslices"];
    plurals
        .iter()
        .for_each(|plural| server.put(plural, strange("a")));
    server.put(
        "namespaces",
        json!({"metadata": {"name": "x", "labels": 7}}),
    );
    server.serve("chat", target.address);
    let _edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    plurals
        .iter()
        .for_each(|plural| server.put(plural, strange("b")));
    server.put("httproutes", route("more", "/more", "chat"));
    server.answers("/more", "chat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_that_are_missing_or_forbidden_block_nothing_and_are_read_once_they_can_be() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    let optional = [
        "referencegrants",
        "backendtlspolicies",
        "healthcheckpolicies",
        "tunnelpolicies",
    ];
    optional
        .iter()
        .for_each(|plural| server.install(plural, false));
    server.refuse("GET", "targetpolicies", 403);
    server.refuse("GET", "secrets", 403);
    server.refuse("GET", "customresourcedefinitions", 403);
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    edge.says("TargetPolicy: ").await;
    server.allow_all();
    edge.says("TargetPolicy: read again").await;
    let spec = json!({
        "targetRef": {"group": "", "kind": "Service", "name": "chat"},
        "default": {"interval": "1s", "http": {"path": "/"}},
    });
    server.put(
        "healthcheckpolicies",
        object("chat", &json!({"spec": spec})),
    );
    server.install("healthcheckpolicies", true);
    server
        .tells("healthcheckpolicies", "chat", "Accepted", "True")
        .await;
}
