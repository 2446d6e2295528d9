//! The folder docs/kubernetes, as an operator applies it.

use std::fs;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::harness::server::in_repository;
use crate::harness::{Server, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_can_be_applied_as_it_is_and_again() {
    let server = Arc::new(Server::start(Setup::Bare).await);
    server.define();
    let folder = in_repository("docs/kubernetes");
    for _ in 0..2 {
        server.kubectl(&["apply", "--validate=strict", "-f", &folder]);
    }
    let said = server.kubectl(&[
        "-n",
        "culvert-system",
        "get",
        "daemonset",
        "culvert",
        "-o",
        "json",
    ]);
    let nodes: Value = serde_json::from_str(&said).unwrap();
    let pod = &nodes["spec"]["template"]["spec"];
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["serviceAccountName"], "culvert");
}

#[test]
fn the_nodes_find_their_configuration_and_are_probed_where_it_says() {
    let objects = ["30-configuration.yaml", "40-nodes.yaml"].map(|file| {
        let text = fs::read_to_string(in_repository(&format!("docs/kubernetes/{file}"))).unwrap();
        let document = serde_yaml::Deserializer::from_str(&text).next().unwrap();
        Value::deserialize(document).unwrap()
    });
    let [configuration, nodes] = &objects;
    let file = configuration["data"]["culvert.yaml"].as_str().unwrap();
    let file: Value = serde_yaml::from_str(file).unwrap();
    let pod = &nodes["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(file["gateway"]["kubernetes"]["inCluster"], true);
    assert_eq!(
        pod["volumes"][0]["configMap"]["name"],
        configuration["metadata"]["name"]
    );
    let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&json!(format!("{mount}/culvert.yaml"))));
    let probe = &container["readinessProbe"]["httpGet"];
    let [host, port] = [probe["host"].as_str().unwrap(), &probe["port"].to_string()];
    assert_eq!(file["admin"]["listen"], format!("{host}:{port}"));
}
