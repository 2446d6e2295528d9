//! A kind that the server does not have blocks nothing, and is seen soon after it has come.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::space::{route, service, tls_policy};
use crate::harness::{Server, Setup, Space, condition, free_address, within};

/// How soon a kind is to be seen after it was defined.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_not_defined_blocks_nothing_and_is_seen_soon_after_it_is() {
    let server = Arc::new(Server::start(Setup::Bare).await);
    server.grant();
    server.define_only(&["gatewayclasses", "gateways", "httproutes"]);
    let space = Space::on(&server).await;
    let port = free_address().port();
    let objects = [
        space.gateway("edge", port),
        route("r", "edge", "chat"),
        service("chat", &[]),
    ];
    space.apply(&objects.concat()).await;
    let node = space.node().await;
    space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
    space
        .tells("HTTPRoute", "r", ["ResolvedRefs", "True", "ResolvedRefs"])
        .await;
    node.is_ready().await;
    server.define();
    space.apply(&tls_policy("p", "chat")).await;
    within(SOON, "a policy of a kind that was not there", async || {
        let policy = space.get("BackendTLSPolicy", "p").await;
        (condition(&policy, "Accepted")["status"] == "True").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_gateway_api_is_one_that_has_no_objects_yet() {
    let server = Arc::new(Server::start(Setup::Bare).await);
    server.grant();
    let space = Space::without_class(&server).await;
    let node = space.node().await;
    node.is_ready().await;
    server.define();
    space.apply(&space.class()).await;
    within(SOON, "a class of a kind that was not there", async || {
        let class = space.get("GatewayClass", &space.name).await;
        (condition(&class, "Accepted")["status"] == "True").then_some(())
    })
    .await;
}
