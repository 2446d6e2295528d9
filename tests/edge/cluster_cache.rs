//! What a cluster had last serves while its server is away, from a file that is whole and ours.

use std::fs;

use crate::harness::{ApiServer, Edge, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_serves_a_start_without_a_server() {
    let (mut server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let config = server.config("one", "cache: FOLDER/cache");
    let mut edge = Edge::start(&config).await;
    server.answers("/chat", "chat").await;
    let cache = edge.folder.path().join("cache");
    let is_written = || {
        fs::read_to_string(&cache)
            .ok()?
            .contains("chat")
            .then_some(())
    };
    crate::harness::eventually("the cache is written", is_written).await;
    edge.signal("TERM");
    edge.exited().await;
    server.die();
    edge.start_again().await;
    server.answers("/chat", "chat").await;
    let other = Target::named("other").await;
    server.put_service("chat", other.address);
    server.come_back().await;
    server.answers("/chat", "other").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_is_broken_or_of_another_controller_is_told_and_not_used() {
    let mut server = ApiServer::start().await;
    server.die();
    let head = |controller: &str| {
        format!(
            "{{\"what\":\"culvert gateway cache\",\"format\":1,\
             \"controller\":\"{controller}\",\"objects\":0}}\n"
        )
    };
    let broken = head("culvert.dev/gateway").replace(":0}", ":3}");
    for (text, told) in [
        (head("other/one"), "is of the controller"),
        (broken, "has 0 objects, not 3"),
        ("x".to_owned(), "is no culvert gateway cache"),
    ] {
        let file = server.kubeconfig("one").with_file_name("cache");
        fs::write(&file, text).unwrap();
        let keys = format!("cache: '{}'", file.display());
        let edge = Edge::start_unready(&server.config("one", &keys)).await;
        edge.says(told).await;
        edge.is_ready(false).await;
    }
}
