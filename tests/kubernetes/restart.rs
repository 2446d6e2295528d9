//! A server that is killed and comes back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::node::{answers, get, leads_to};
use crate::harness::space::redirect;
use crate::harness::{Server, Setup, Space, eventually, free_address, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_serves_goes_on_without_a_server_and_changes_serve_soon_after_it_is_back() {
    let server = Arc::new(Server::start(Setup::Ready).await);
    let space = Space::on(&server).await;
    let address = free_address();
    space
        .apply(
            &[
                space.gateway("edge", address.port()),
                redirect("r", "edge", "before.example"),
            ]
            .concat(),
        )
        .await;
    let node = space.node().await;
    answers(address, "a", 302).await;
    server.kill();
    let is_away =
        async || (node.metric("culvert_gateway_server_available").await == Some(0.0)).then_some(());
    eventually("the server is missed", is_away).await;
    assert!(leads_to(address).await.unwrap().contains("before.example"));
    server.run();
    server.answers().await;
    let elsewhere = json!({"spec": {"hostnames": ["after.example"]}});
    space.patch("HTTPRoute", "r", elsewhere).await;
    let is_new = async || {
        get(address, "a", "/")
            .await?
            .contains(" 404 ")
            .then_some(())
    };
    within(Duration::from_secs(10), "the change serves", is_new).await;
    space
        .tells("HTTPRoute", "r", ["Accepted", "True", "Accepted"])
        .await;
}
