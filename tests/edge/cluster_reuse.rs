//! What a change does not concern is not made again: the counter of the HTTP rules that were built
//! shows it.

use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::harness::api_server::route;
use crate::harness::{ApiServer, Edge, Target};

const SERVICES: usize = 50;
const CHANGES: usize = 400;
/// How long it is from one change to the next.
const PACE: Duration = Duration::from_millis(5);

fn built(edge: &Edge) -> f64 {
    edge.metric("http_rules_built_total")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_change_all_the_time_serve_and_no_rule_is_built() {
    let server = ApiServer::start().await;
    let targets = [Target::named("one").await, Target::named("other").await];
    (0..SERVICES).for_each(|number| server.serve(&format!("s{number}"), targets[0].address));
    let edge = server.node("one").await;
    for number in 0..SERVICES {
        server.answers(&format!("/s{number}"), "one").await;
    }
    let before = built(&edge);
    assert!(before > SERVICES as f64, "{before}");
    let mut ticks = interval(PACE);
    for change in 0..CHANGES {
        ticks.tick().await;
        let target = &targets[(change / SERVICES + 1) % 2];
        server.put_service(&format!("s{}", change % SERVICES), target.address);
    }
    let last = ["one", "other"][CHANGES / SERVICES % 2];
    let other = format!("s{}", SERVICES - 1);
    server.put_service(&other, targets[1].address);
    for number in 0..SERVICES - 1 {
        server.answers(&format!("/s{number}"), last).await;
    }
    server.answers(&format!("/{other}"), "other").await;
    assert_eq!(built(&edge), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_changes_has_its_own_rules_built_and_no_others() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    (0..SERVICES).for_each(|number| server.serve(&format!("s{number}"), target.address));
    let edge = server.node("one").await;
    server.answers(&format!("/s{}", SERVICES - 1), "chat").await;
    let before = built(&edge);
    let mut changed = route("s7", "/seven", "s7");
    let rule = changed["spec"]["rules"][0].clone();
    changed["spec"]["rules"] = json!([rule, route("s7", "/7", "s8")["spec"]["rules"][0]]);
    server.put("httproutes", changed);
    server.answers("/7", "chat").await;
    server.answers("/seven", "chat").await;
    server.answers("/s6", "chat").await;
    assert_eq!(built(&edge), before + 2.0);
    server.delete("httproutes", "s7");
    server.delete("httproutes", "s9");
    server.put("httproutes", route("last", "/last", "s0"));
    server.answers("/last", "chat").await;
    assert_eq!(built(&edge), before + 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_is_not_built_again_leads_to_a_group_that_is() {
    let server = ApiServer::start().await;
    let (one, other) = (Target::named("one").await, Target::named("other").await);
    server.serve("a", one.address);
    server.serve("b", one.address);
    let edge = server.node("one").await;
    server.answers("/b", "one").await;
    let before = built(&edge);
    // Both come at once: a route that is new, and a group that has other endpoints.
    server.hold_lists("services", true);
    server.put_service("a", other.address);
    server.put("httproutes", route("c", "/c", "b"));
    server.hold_lists("services", false);
    server.answers("/c", "one").await;
    server.answers("/a", "other").await;
    server.answers("/b", "one").await;
    assert_eq!(built(&edge), before + 1.0);
}
