//! What has a name that the configuration has already costs itself and nothing else, and is told;
//! manifests that cannot be read are an error of the check.

use std::fs;

use crate::harness::edge::get_now;
use crate::harness::manifests::{gateway_at, route, service};
use crate::harness::ports::free_addresses;
use crate::harness::process::run;
use crate::harness::{Config, Manifests, Target};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_group_has_a_name_of_the_file_is_left_aside_by_itself() {
    let [own, good] = [
        Target::answering("own").await,
        Target::answering("good").await,
    ];
    let config = Config::answering("file")
        .add_group("\"apps/chat:8080\"")
        .target(own.address, "");
    let all = route("chat", "/chat", "chat")
        + &route("good", "/good", "good")
        + &service("chat", &[own.address])
        + &service("good", &[good.address]);
    let edge = Manifests::beside(config, &all).await;
    edge.answers("/good", "good").await;
    let answer = get_now(edge.gateway, "/chat").unwrap();
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    let words = "Service apps/chat: is not used: the configuration has another target group named \
                 \"apps/chat:8080\"";
    edge.says(words).await;
    let told = edge.status("HTTPRoute", "apps/chat");
    let conditions = told["parents"][0]["conditions"].to_string();
    assert!(conditions.contains("BackendNotFound"), "{conditions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_whose_rule_has_a_name_of_the_file_is_taken() {
    let target = Target::answering("good").await;
    let [gateway, other, own] = free_addresses();
    let folder = tempfile::tempdir().unwrap();
    let rest = route("good", "/", "good") + &service("good", &[target.address]);
    let second = gateway_at(other).replace("name: edge", "name: second");
    let more = route("more", "/", "good").replace("{name: edge}", "{name: second}");
    let text = [gateway_at(gateway), second, rest + &more].join("---\n");
    fs::write(folder.path().join("all.yaml"), text).unwrap();
    let config = Config::answering("file")
        .rule(&format!(
            "name: \"gateway {gateway}\", listenerPort: {}",
            own.port()
        ))
        .top(&format!(
            "gateway: {{manifests: [{}], addresses: [127.0.0.1]}}",
            folder.path().display()
        ));
    let edge = crate::harness::Edge::start(&config).await;
    let answer = get_now(other, "/").unwrap();
    assert!(answer.ends_with("good"), "{answer}");
    edge.says("PortUnavailable").await;
}

#[test]
fn a_manifest_that_cannot_be_read_is_an_error_of_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    let config = folder.path().join("culvert.yaml");
    let text = format!(
        "gateway: {{manifests: [{}], addresses: [127.0.0.1]}}\n",
        manifests.display()
    );
    fs::write(&config, text).unwrap();
    let [address] = free_addresses();
    fs::write(manifests.join("good.yaml"), gateway_at(address)).unwrap();
    let check = || run(&["-t", "-c", "culvert.yaml"], folder.path());
    let good = check();
    assert!(good.status.success(), "{good:?}");
    fs::write(manifests.join("broken.yaml"), "kind: [").unwrap();
    let broken = check();
    assert_eq!(broken.status.code(), Some(1));
    let told = String::from_utf8_lossy(&broken.stderr);
    assert!(told.contains("broken.yaml:1"), "{told}");
    let shown = String::from_utf8_lossy(&broken.stdout);
    assert!(shown.contains("Gateway apps/edge"), "{shown}");
}
