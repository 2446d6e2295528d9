//! What a write over the IONOS API costs among 5,000 targets, in 50 groups and in one, and how long
//! it takes to start with 1,000 forwarding rules of ten conditions each.
//!
//! The API is asked without its HTTP. CPU is that of the process, with all that follows from the
//! write; the time is until it is on disk and serves. A write should take at most 5 ms of CPU and
//! 20 ms, and the start at most 2 s.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use culvert::config;
use culvert::ionos::{self, Answer, Api, Asked, Server};
use culvert::listener::Sockets;
use culvert::serving::{Knowledge, Secrets, Serving};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TARGETS: usize = 5_000;
const GROUPS: usize = 50;
const WRITES: usize = 200;
const RULES: u16 = 1_000;
const CONDITIONS: usize = 10;
/// How long what follows from a write may take.
const SETTLED: Duration = Duration::from_millis(500);
const BALANCERS: &str =
    "/datacenters/11111111-1111-4111-8111-111111111111/applicationloadbalancers";

fn main() -> io::Result<()> {
    for groups in [GROUPS, 1] {
        let folder = tempfile::tempdir()?;
        let api = start(folder.path())?;
        let each = TARGETS / groups;
        let made: Vec<String> = (0..groups)
            .map(|group| post(&api, "/targetgroups", &target_group(group, each)))
            .collect::<io::Result<_>>()?;
        let balancer = post(&api, BALANCERS, &balancer())?;
        let rules = format!("{BALANCERS}/{balancer}/forwardingrules");
        post(&api, &rules, &rule(20_000, &made, 0))?;
        let (cpu, times) = writes(&api, &made, each)?;
        println!(
            "one target of {TARGETS} in {groups} groups changed: CPU {cpu:.2?}, until it is answered \
             {:.2?} (median), {:.2?} (longest); goals: 5 ms, 20 ms",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    let folder = tempfile::tempdir()?;
    let api = start(folder.path())?;
    let group = post(&api, "/targetgroups", &target_group(0, 10))?;
    let balancer = post(&api, BALANCERS, &balancer())?;
    let rules = format!("{BALANCERS}/{balancer}/forwardingrules");
    let began = Instant::now();
    for port in 0..RULES {
        let groups = std::slice::from_ref(&group);
        post(&api, &rules, &rule(20_000 + port, groups, CONDITIONS))?;
    }
    println!(
        "{RULES} rules made, one after the other: {:.2?}",
        began.elapsed()
    );
    drop(api);
    let began = Instant::now();
    let _api = start(folder.path())?;
    println!(
        "a start with {RULES} rules of {CONDITIONS} conditions: {:.2?}; goal: 2 s",
        began.elapsed()
    );
    Ok(())
}

/// An API with what is kept in this folder.
fn start(folder: &Path) -> io::Result<Api> {
    let at = folder.display();
    let text = format!(
        "{{admin: {{listen: 'unix:{at}/admin'}}, accessLog: {{path: '{at}/log'}},
        api: {{listen: 'unix:{at}/api', store: {{type: FILE, path: '{at}/store'}}}}}}"
    );
    let file = config::parse("bench", &text)
        .map_err(io::Error::other)?
        .config;
    let opened =
        ionos::open(&file, &mut |_| Ok(())).map_err(|all| io::Error::other(all.join("\n")))?;
    let opened = opened.ok_or_else(|| io::Error::other("there is no API"))?;
    let (secrets, known) = (Secrets::default(), Knowledge::default());
    let sockets = &mut Sockets::default();
    let serving = Serving::build(None, opened.config, sockets, secrets, known);
    let told = |problems: Vec<config::problem::Problem>| io::Error::other(format!("{problems:?}"));
    let serving = serving.map(Arc::new).map_err(told)?;
    let server = Server::new(serving, opened.models);
    Ok(Api::new(opened.store, Arc::new(server)))
}

fn ask(api: &Api, method: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    api.answer(&Asked {
        method,
        path,
        query: Vec::new(),
        base: "http://localhost/cloudapi/v6".to_owned(),
        by: "bench",
        body: body.as_bytes(),
        only_if: None,
    })
}

/// The id of what is made.
fn post(api: &Api, path: &str, properties: &Value) -> io::Result<String> {
    let answer = ask(api, "POST", path, properties);
    let id = answer.body["id"].as_str().filter(|_| answer.status == 202);
    let refused = || io::Error::other(answer.body.to_string());
    id.map(str::to_owned).ok_or_else(refused)
}

fn targets(group: usize, count: usize, weight: usize) -> Vec<Value> {
    let target = |number: usize| {
        let ip = format!("10.{group}.{}.{}", number / 250, number % 250 + 1);
        let weight = if number == 0 { weight } else { 1 };
        json!({"ip": ip, "port": 80, "weight": weight, "healthCheckEnabled": false})
    };
    (0..count).map(target).collect()
}

fn target_group(number: usize, count: usize) -> Value {
    json!({
        "name": format!("group {number}"), "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
        "targets": targets(number, count, 1),
    })
}

fn balancer() -> Value {
    json!({"name": "balancer", "listenerLan": 1, "targetLan": 2, "ips": ["127.0.0.1"]})
}

fn rule(port: u16, groups: &[String], conditions: usize) -> Value {
    let condition = |number: usize| {
        json!({
            "type": "HEADER", "condition": "EQUALS", "key": format!("x-{number}"), "value": "a",
        })
    };
    let conditions: Vec<Value> = (0..conditions).map(condition).collect();
    let forward = |group: &String| json!({"name": group, "type": "FORWARD", "targetGroup": group, "conditions": conditions});
    json!({
        "name": format!("rule {port}"), "protocol": "HTTP", "listenerIp": "127.0.0.1",
        "listenerPort": port, "httpRules": groups.iter().map(forward).collect::<Vec<_>>(),
    })
}

/// The CPU of a write, and how long each took, the shortest first.
fn writes(api: &Api, groups: &[String], each: usize) -> io::Result<(Duration, Vec<Duration>)> {
    let cpu = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    let bodies: Vec<Value> = (0..WRITES)
        .map(|number| {
            let group = number % groups.len();
            json!({"targets": targets(group, each, number % 200 + 2)})
        })
        .collect();
    let before = cpu();
    let mut times = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let path = format!("/targetgroups/{}", groups[number % groups.len()]);
        let began = Instant::now();
        let answer = ask(api, "PATCH", &path, body);
        times.push(began.elapsed());
        if answer.status != 202 {
            return Err(io::Error::other(answer.body.to_string()));
        }
    }
    thread::sleep(SETTLED);
    times.sort_unstable();
    Ok((
        (cpu() - before) / u32::try_from(WRITES).unwrap_or(u32::MAX),
        times,
    ))
}
