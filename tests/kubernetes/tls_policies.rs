//! What is told of a BackendTLSPolicy.

use crate::harness::space::{route, service, tls_policy};
use crate::harness::{Space, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_policy_is_accepted_at_each_gateway_that_leads_to_its_service() {
    let space = Space::shared().await;
    let port = free_address().port();
    let objects = [
        space.gateway("edge", port),
        route("r", "edge", "chat"),
        service("chat", &[]),
        tls_policy("p", "chat"),
    ];
    space.apply(&objects.concat()).await;
    let _node = space.node().await;
    let accepted = ["Accepted", "True", "Accepted"];
    let told = space.tells("BackendTLSPolicy", "p", accepted).await;
    let entry = &told["status"]["ancestors"][0];
    assert_eq!(entry["controllerName"], space.controller());
    assert_eq!(entry["ancestorRef"]["name"], "edge");
    // Where no route leads there any more it has no entry.
    space.delete("HTTPRoute", "r").await;
    let is_gone =
        |policy: &serde_json::Value| policy["status"]["ancestors"] == serde_json::json!([]);
    space.waits_for("BackendTLSPolicy", "p", is_gone).await;
}
