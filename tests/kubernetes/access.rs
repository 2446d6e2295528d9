//! What Culvert may do in a cluster is what docs/kubernetes grants: enough, and no more.

use crate::harness::{Server, Space};

/// Whether Culvert may do something, as the server tells.
fn may(server: &Server, what: &str) -> bool {
    let arguments: Vec<&str> = ["auth", "can-i"]
        .into_iter()
        .chain(what.split(' '))
        .collect();
    server.kubectl_as("culvert", &arguments).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_read_what_it_needs_and_write_statuses_and_leases_and_nothing_else() {
    let server = Server::shared().await;
    for what in [
        "list endpointslices -A",
        "watch customresourcedefinitions",
        "patch httproutes --subresource=status -A",
        "update leases -n culvert-system",
    ] {
        assert!(may(&server, what), "{what}");
    }
    for what in [
        "patch httproutes -A",
        "update gateways -A",
        "create secrets -A",
        "update secrets -A",
        "list pods -A",
        "update leases -n default",
        "create tokenreviews",
    ] {
        assert!(!may(&server, what), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_node_asks_for_is_refused() {
    let space = Space::shared().await;
    let node = space.node().await;
    space
        .tells(
            "GatewayClass",
            &space.name,
            ["Accepted", "True", "Accepted"],
        )
        .await;
    node.is_ready().await;
    assert!(!node.log().contains("orbidden"), "{}", node.log());
}
