//! `gateway.cache`: what was there last serves where a node starts while the server is away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use crate::harness::node::{answers, leads_to};
use crate::harness::space::redirect;
use crate::harness::{Node, Server, Setup, Space, eventually, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_while_the_server_is_away_serves_what_was_there_last() {
    let server = Arc::new(Server::start(Setup::Ready).await);
    let space = Space::on(&server).await;
    let address = free_address();
    space
        .apply(
            &[
                space.gateway("edge", address.port()),
                redirect("r", "edge", "kept.example"),
            ]
            .concat(),
        )
        .await;
    let cache = server.keeper.file("objects.cache");
    let node = Node::start_with(
        &space,
        "one",
        "127.0.0.1",
        &format!("  cache: {}\n", cache.display()),
    )
    .await;
    answers(address, "a", 302).await;
    let is_kept = async || {
        fs::read_to_string(&cache)
            .ok()?
            .contains("kept.example")
            .then_some(())
    };
    eventually("the objects are kept", is_kept).await;
    assert_eq!(
        fs::metadata(&cache).unwrap().permissions().mode() & 0o777,
        0o600
    );
    node.kill();
    server.kill();
    node.run();
    answers(address, "a", 302).await;
    assert!(leads_to(address).await.unwrap().contains("kept.example"));
    node.is_ready().await;
    // What has changed meanwhile serves when the server is back.
    server.run();
    server.answers().await;
    space.delete("HTTPRoute", "r").await;
    answers(address, "a", 404).await;
}
