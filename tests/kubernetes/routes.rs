//! What is told of a route: an entry for each parent of ours, for as long as it is one.

use serde_json::json;

use crate::harness::space::route;
use crate::harness::{Space, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_has_an_entry_for_each_gateway_as_long_as_it_names_it() {
    let space = Space::shared().await;
    let [one, other] = [free_address(), free_address()].map(|address| address.port());
    let objects = [
        space.gateway("one", one),
        space.gateway("other", other),
        route("r", "one", "nowhere"),
    ];
    space.apply(&objects.concat()).await;
    let _node = space.node().await;
    space
        .tells("HTTPRoute", "r", ["Accepted", "True", "Accepted"])
        .await;
    let lost = ["ResolvedRefs", "False", "BackendNotFound"];
    let told = space.tells("HTTPRoute", "r", lost).await;
    let entry = &told["status"]["parents"][0];
    assert_eq!(entry["controllerName"], space.controller());
    assert_eq!(entry["parentRef"]["name"], "one");
    // It goes elsewhere, and then nowhere of ours.
    let to = |name| json!({"spec": {"parentRefs": [{"name": name}]}});
    space.patch("HTTPRoute", "r", to("other")).await;
    space
        .waits_for("HTTPRoute", "r", |route| {
            let parents = route["status"]["parents"].as_array().unwrap();
            parents.len() == 1 && parents[0]["parentRef"]["name"] == "other"
        })
        .await;
    space.patch("HTTPRoute", "r", to("nobody")).await;
    space
        .waits_for("HTTPRoute", "r", |route| {
            route["status"]["parents"] == json!([])
        })
        .await;
}
