//! What is told of a GatewayClass.

use serde_json::Value;

use crate::harness::{Space, condition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_is_accepted_together_with_its_features_in_order() {
    let space = Space::shared().await;
    let _node = space.node().await;
    let told = ["Accepted", "True", "Accepted"];
    let class = space.tells("GatewayClass", &space.name, told).await;
    let features = class["status"]["supportedFeatures"].as_array().unwrap();
    let names: Vec<&Value> = features.iter().map(|feature| &feature["name"]).collect();
    assert!(names.is_sorted_by_key(|name| name.as_str()), "{names:?}");
    assert!(names.iter().any(|name| **name == "HTTPRoute"), "{names:?}");
    let told = ["SupportedVersion", "True", "SupportedVersion"];
    space.tells("GatewayClass", &space.name, told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_another_controller_is_left_alone() {
    let space = Space::shared().await;
    let class = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
         metadata: {{name: {}-other}}\nspec: {{controllerName: example.com/other}}",
        space.name
    );
    space.apply(&class).await;
    let _node = space.node().await;
    let told = ["Accepted", "True", "Accepted"];
    space.tells("GatewayClass", &space.name, told).await;
    let other = space
        .get("GatewayClass", &format!("{}-other", space.name))
        .await;
    assert_eq!(condition(&other, "Accepted")["status"], "Unknown");
}
