//! Objects of the Gateway API serve from files, beside the configuration's own rules.

use std::fs;

use serde_json::Value;

use crate::harness::manifests::{gateway_at, route, service};
use crate::harness::ports::free_addresses;
use crate::harness::process::run;
use crate::harness::{Config, Connection, Manifests, Target, eventually};

/// The condition of this type.
fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let mut all = status["conditions"].as_array().unwrap().iter();
    all.find(|one| one["type"] == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_leads_requests_and_tunnels_to_its_service_beside_the_files_rules() {
    let target = Target::named("chat").await;
    let all = route("chat", "/chat", "chat") + &service("chat", &[target.address]);
    let edge = Manifests::with(&all).await;
    edge.answers("/chat", "chat").await;
    assert_eq!(edge.get("/").await.text(), "file");
    let (mut client, head) = Connection::tunnel(edge.gateway, "/chat").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client.say_hi().await;
    let status = edge.status("Gateway", "apps/edge");
    assert_eq!(condition(&status, "Programmed")["status"], "True");
    assert_eq!(status["addresses"][0]["value"], "127.0.0.1");
    assert_eq!(status["listeners"][0]["attachedRoutes"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_served_and_tunnels_stay() {
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    let services = service("one", &[one.address]) + &service("other", &[other.address]);
    let edge = Manifests::with(&(route("r", "/", "one") + &services)).await;
    edge.answers("/", "one").await;
    let (mut client, _) = Connection::tunnel(edge.gateway, "/").await;
    edge.write("routes.yaml", &(route("r", "/", "other") + &services));
    edge.answers("/", "other").await;
    client.say_hi().await;
    // A file that comes, one that is broken beside it, and one that goes.
    edge.write("more.yaml", &route("more", "/more", "one"));
    edge.write("broken.yaml", "kind: [");
    edge.answers("/more", "one").await;
    edge.says("broken.yaml").await;
    fs::remove_file(edge.folder.path().join("more.yaml")).unwrap();
    edge.answers("/more", "other").await;
    client.say_hi().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_changes_is_served_where_all_that_the_route_refers_to_is_the_same() {
    let to = |host: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, namespace: apps}}\n\
             spec: {{parentRefs: [{{name: edge}}], rules: [{{filters: [{{\
             type: RequestRedirect, requestRedirect: {{hostname: {host}}}}}]}}]}}\n"
        )
    };
    let edge = Manifests::with(&to("before.example")).await;
    for host in ["before.example", "after.example"] {
        edge.write("routes.yaml", &to(host));
        let leads_there = || {
            let answer = crate::harness::edge::get_now(edge.gateway, "/")?;
            answer.contains(host).then_some(())
        };
        eventually(host, leads_there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_somebody_has_is_told_and_taken_once_it_is_free() {
    let target = Target::named("chat").await;
    let all = route("chat", "/", "chat") + &service("chat", &[target.address]);
    let edge = Manifests::with(&all).await;
    edge.answers("/", "chat").await;
    let [other] = free_addresses();
    let taken = std::net::TcpListener::bind(other).unwrap();
    edge.write("gateway.yaml", &gateway_at(other));
    eventually("it is told", || {
        let status = edge.status("Gateway", "apps/edge");
        (condition(&status, "Programmed")["status"] == "False").then_some(())
    })
    .await;
    drop(taken);
    eventually("it is served", || {
        let answer = crate::harness::edge::get_now(other, "/")?;
        answer.ends_with("chat").then_some(())
    })
    .await;
    // It is told once it serves.
    eventually("it is told", || {
        let status = edge.status("Gateway", "apps/edge");
        (condition(&status, "Programmed")["status"] == "True").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_and_an_upgrade_leave_what_the_files_serve() {
    let target = Target::named("chat").await;
    let all = route("chat", "/", "chat") + &service("chat", &[target.address]);
    let config = Config::answering("file").upgradable();
    let edge = Manifests::beside(config, &all).await;
    edge.answers("/", "chat").await;
    let (mut client, _) = Connection::tunnel(edge.gateway, "/").await;
    edge.reload(edge.config()).await;
    edge.answers("/", "chat").await;
    let _successor = edge.hand_over().await;
    edge.answers("/", "chat").await;
    client.say_hi().await;
    let (mut client, _) = Connection::tunnel(edge.gateway, "/").await;
    client.say_hi().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_shown_by_the_commands_with_file_and_line() {
    let all = route("lost", "/", "nowhere");
    let edge = Manifests::with(&all).await;
    let file = edge.file();
    let culvert = |arguments: &[&str]| {
        let arguments = [&["-c", file.to_str().unwrap()], arguments].concat();
        let output = run(&arguments, edge.folder.path());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = culvert(&["-t"]);
    let line = "routes.yaml:2: HTTPRoute apps/lost: to edge: ResolvedRefs False (BackendNotFound)";
    assert!(told.contains(line), "{told}");
    edge.says("ResolvedRefs False (BackendNotFound)").await;
    let shown = culvert(&["gateway"]);
    let row: Vec<&str> = shown
        .lines()
        .find(|line| line.contains("BackendNotFound"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(row[..2], ["HTTPRoute", "apps/lost"]);
    let sources = culvert(&["config", "--sources"]);
    assert!(sources.contains("gateway Gateway apps/edge"), "{sources}");
}
