//! A Deployment that is rolled out: new endpoints come, old ones end and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::api_server::object;
use crate::harness::{ApiServer, Connection, Target, eventually};

const CLIENTS: usize = 8;
const REQUESTS: usize = 2000;
const TUNNELS: usize = 50;

/// What is said of an endpoint.
fn endpoint(address: SocketAddr, ends: bool) -> Value {
    let conditions = json!({"ready": !ends, "serving": true, "terminating": ends});
    json!({"addresses": [address.ip()], "conditions": conditions})
}

/// Puts a slice of the Service `a` for the Pods at a port: endpoints have one in a slice.
fn put(server: &ApiServer, pod: &Target, ends: bool) {
    let port = pod.address.port();
    let name = format!("a-{port}");
    let fields = json!({
        "addressType": "IPv4", "endpoints": [endpoint(pod.address, ends)],
        "ports": [{"port": port}],
    });
    let mut slice = object(&name, &fields);
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "a"});
    server.put("endpointslices", slice);
}

fn delete(server: &ApiServer, pod: &Target) {
    server.delete("endpointslices", &format!("a-{}", pod.address.port()));
}

/// Clients that ask one after the other, each on a connection as long as that is kept; how many
/// answers there were, and those that were none of a Pod's.
fn ask(gateway: SocketAddr, done: &Arc<AtomicUsize>) -> JoinSet<Vec<u16>> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let done = Arc::clone(done);
        clients.spawn(async move {
            let mut client = Connection::open(gateway).await;
            let mut failed = Vec::new();
            while done.fetch_add(1, SeqCst) < REQUESTS {
                client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let answer = client.answer().await;
                failed.extend((answer.status != 200).then_some(answer.status));
                if answer.header("connection") == Some("close") {
                    client = Connection::open(gateway).await;
                }
            }
            failed
        });
    }
    clients
}

/// A Gateway whose path `/a` leads to the Service `a`, with two Pods.
async fn deployed(server: &ApiServer) -> [Target; 2] {
    let pods = [Target::named("old").await, Target::named("old").await];
    server.serve("a", pods[0].address);
    server.delete("endpointslices", "a");
    pods.iter().for_each(|pod| put(server, pod, false));
    pods
}

async fn tunnels(server: &ApiServer) -> Vec<Connection> {
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        let (tunnel, head) = Connection::tunnel(server.gateway, "/a").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        tunnels.push(tunnel);
    }
    tunnels
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_fails_no_request_and_cuts_no_tunnel_that_may_live() {
    let server = ApiServer::start().await;
    let old = deployed(&server).await;
    let _edge = server.node("one").await;
    server.answers("/a", "old").await;
    let mut open = tunnels(&server).await;
    let done = Arc::<AtomicUsize>::default();
    let clients = ask(server.gateway, &done);
    let step = async |number: usize| {
        let at = number * REQUESTS / 8;
        eventually("some requests", || (done.load(SeqCst) >= at).then_some(())).await;
    };
    let mut new = Vec::new();
    for (number, pod) in old.iter().enumerate() {
        step(3 * number + 1).await;
        new.push(Target::named("new").await);
        put(&server, new.last().unwrap(), false);
        step(3 * number + 2).await;
        put(&server, pod, true);
        step(3 * number + 3).await;
        delete(&server, pod);
    }
    let failed: Vec<u16> = clients.join_all().await.concat();
    assert!(failed.is_empty(), "{failed:?}");
    server.answers("/a", "new").await;
    let before: usize = old.iter().map(Target::connections).sum();
    for _ in 0..20 {
        server.answers("/a", "new").await;
    }
    assert_eq!(old.iter().map(Target::connections).sum::<usize>(), before);
    for tunnel in &mut open {
        tunnel.say_hi().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_of_a_pod_that_ends_live_for_as_long_as_its_policy_lets_them() {
    const DELAY: Duration = Duration::from_secs(3);
    let server = ApiServer::start().await;
    let old = deployed(&server).await;
    let spec = json!({
        "targetRefs": [{"group": "", "kind": "Service", "name": "a"}],
        "deregistrationDelay": "3s",
    });
    server.put("targetpolicies", object("a", &json!({"spec": spec})));
    let edge = server.node("one").await;
    server.answers("/a", "old").await;
    let open = tunnels(&server).await;
    let new = Target::named("new").await;
    put(&server, &new, false);
    let ends = Instant::now();
    old.iter().for_each(|pod| put(&server, pod, true));
    server.answers("/a", "new").await;
    old.iter().for_each(|pod| delete(&server, pod));
    for mut tunnel in open {
        tunnel.is_sent_away().await;
        assert!(ends.elapsed() >= DELAY, "{:?}", ends.elapsed());
    }
    let closed = || {
        edge.log()
            .iter()
            .filter(|line| line["closeReason"] == "target_removed")
            .count()
    };
    eventually("each is logged", || (closed() == TUNNELS).then_some(())).await;
}
