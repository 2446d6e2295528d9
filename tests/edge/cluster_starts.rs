//! A node is ready when it knows what a cluster has; what it is told of that is told.

use crate::harness::{ApiServer, Edge, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_not_ready_before_the_first_lists() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    server.hold_lists("services", true);
    let edge = Edge::start_unready(&server.config("one", "")).await;
    edge.is_ready(false).await;
    assert_eq!(edge.get("/").await.text(), "file");
    server.hold_lists("services", false);
    edge.is_ready(true).await;
    server.answers("/chat", "chat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_is_missing_is_told_and_read_once_it_is_there() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let config = server.config("one", "");
    std::fs::remove_file(server.kubeconfig("one")).unwrap();
    let edge = Edge::start_unready(&config).await;
    edge.says("kubeconfig").await;
    edge.is_ready(false).await;
    server.config("one", "");
    edge.is_ready(true).await;
    server.answers("/chat", "chat").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_names_another_cluster_is_told_and_changes_nothing() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.answers("/chat", "chat").await;
    edge.configure(&server.config("another", ""));
    edge.signal("HUP");
    edge.says("gateway.kubernetes").await;
    server.answers("/chat", "chat").await;
    server.put_service("chat", Target::named("new").await.address);
}
