//! The API server of these tests is a real one.

use crate::harness::Space;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_has_the_gateway_api_with_its_rules_and_defaults() {
    let space = Space::shared().await;
    space.apply(&space.gateway("edge", 80)).await;
    let gateway = space.get("Gateway", "edge").await;
    assert_eq!(gateway["metadata"]["generation"], 1);
    assert_eq!(gateway["status"]["conditions"][0]["reason"], "Pending");
    let wrong = space.gateway("wrong", 80).replace("HTTP", "HTTP, tls: {}");
    let (status, said) = space.try_apply(&wrong).await;
    assert_eq!(status, 422, "{said}");
}
