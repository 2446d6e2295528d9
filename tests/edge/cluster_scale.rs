//! What a large cluster costs: a start, a changed route, and endpoints that change all the time.
//! It measures, and prints what it has found: a start should take less than 1 s in changes and 200 MB, a
//! changed route 50 ms of a processor, and the endpoints less than a tenth of one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::interval;

use crate::harness::api_server::{object, route};
use crate::harness::edge::get_at;
use crate::harness::{ApiServer, Edge, Target, eventually};

const ROUTES: usize = 1000;
const RULES: usize = 10;
const ENDPOINTS: usize = 5;
const CHANGES: usize = 20;
/// How many endpoints change in a second, and for how long.
const RATE: u32 = 200;
const LONG: Duration = Duration::from_secs(10);
/// For how long is looked what it has to do.
const LOOK: Duration = Duration::from_secs(3);

fn service(number: usize) -> String {
    format!("service-{number}")
}

/// A route of many rules, each for a path of its own.
fn large(number: usize, version: usize) -> Value {
    let name = service(number);
    let mut whole = route(&name, &format!("/{number}"), &name);
    let rule = |place: usize| {
        let path = format!("/{number}/{place}-{version}");
        let to = if place == 0 { "probe" } else { &name };
        route("", &path, to)["spec"]["rules"][0].clone()
    };
    let rules: Vec<Value> = (0..RULES).map(rule).collect();
    whole["spec"]["rules"] = json!(rules);
    whole["spec"]["hostnames"] = json!([format!("{name}.example.com")]);
    whole
}

/// A Service's endpoints, of which nobody listens at any; another `version` has others.
fn endpoints(number: usize, version: usize) -> Value {
    let name = service(number);
    let address = |place: usize| {
        let ip = [10, (number / 256) as u8, (number % 256) as u8, place as u8];
        json!({"addresses": [Ipv4Addr::from(ip)], "conditions": {"ready": true}})
    };
    let all: Vec<Value> = (0..ENDPOINTS)
        .map(|place| address(place + version))
        .collect();
    let fields = json!({"addressType": "IPv4", "endpoints": all, "ports": [{"port": 8080}]});
    let mut slice = object(&name, &fields);
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": name});
    slice
}

fn fill(server: &ApiServer, target: SocketAddr) {
    for number in 0..ROUTES {
        let spec = json!({"ports": [{"port": 8080}]});
        server.put("services", object(&service(number), &json!({"spec": spec})));
        server.put("endpointslices", endpoints(number, 0));
        server.put("httproutes", large(number, 0));
    }
    server.serve("probe", target);
}

/// How many KiB of memory the process had at most.
fn most_memory(edge: &Edge) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", edge.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What share of a processor it has, once it has nothing to do any more.
async fn idle(edge: &Edge) -> f64 {
    let mut seen = (edge.processor_time(), Instant::now());
    eventually("it has little to do", || {
        let (now, length) = (edge.processor_time(), seen.1.elapsed());
        if length < LOOK {
            return None;
        }
        let share = (now - seen.0) / length.as_secs_f64();
        seen = (now, Instant::now());
        (share < 0.05).then_some(share)
    })
    .await
}

fn built(edge: &Edge) -> f64 {
    edge.metric("http_rules_built_total")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute, and measures: `make bench-cluster`"]
async fn a_large_cluster() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    fill(&server, target.address);
    let edge = server.node("one").await;
    server.answers("/probe", "chat").await;
    // A scrape of so many rules has its own cost.
    let (spent, most) = (edge.processor_time(), most_memory(&edge));
    let changes = edge.metric("gateway_change_duration_seconds_sum");
    println!("start: {spent:.2} s of a processor, {changes:.3} s in changes, {most} KiB");
    let status =
        |number: usize| server.get("httproutes", "apps", &service(number))["status"].clone();
    eventually("all is told", || {
        status(ROUTES - 1).is_object().then_some(())
    })
    .await;
    let at_rest = idle(&edge).await;
    println!("at rest: {:.1} % of a processor", at_rest * 100.0);

    let (rules, before, began) = (built(&edge), edge.processor_time(), Instant::now());
    for number in 0..CHANGES {
        server.put("httproutes", large(number, 1));
        let host = format!("{}.example.com", service(number));
        let path = format!("/{number}/0-1");
        eventually("it serves", || {
            let answer = get_at(server.gateway, &host, &path)?;
            answer.ends_with("chat").then_some(())
        })
        .await;
    }
    idle(&edge).await;
    let spent = edge.processor_time() - before - at_rest * began.elapsed().as_secs_f64();
    println!(
        "a changed route: {:.1} ms of a processor, {} rules built",
        spent * 1000.0 / CHANGES as f64,
        (built(&edge) - rules) / CHANGES as f64,
    );

    let (rules, before, began) = (built(&edge), edge.processor_time(), Instant::now());
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let mut count = 0;
    while began.elapsed() < LONG {
        ticks.tick().await;
        server.put(
            "endpointslices",
            endpoints(count * 7 % ROUTES, 1 + count / ROUTES),
        );
        count += 1;
    }
    let spent = edge.processor_time() - before;
    println!(
        "{count} changed endpoints in {:.1} s: {:.1} % of a processor, {} rules built, {} KiB",
        began.elapsed().as_secs_f64(),
        spent * 100.0 / began.elapsed().as_secs_f64(),
        built(&edge) - rules,
        most_memory(&edge),
    );
}
