//! Socket.IO begins with long polling, and its requests must all reach the server that knows the
//! session: a cookie sees to that. The client and the servers are the real ones.

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::harness::ports::free_address;
use crate::harness::{Config, Edge, eventually, node, soon};

const CLIENTS: usize = 8;

/// A server of this name, and where it listens.
async fn server(name: &str) -> (Child, SocketAddr) {
    let mut server = node("server.js");
    let server = server.args([name, &free_address().port().to_string()]);
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let address = soon("the server's address", lines.next_line()).await;
    let address = address.unwrap().expect("an address").parse().unwrap();
    (server, address)
}

async fn clients(edge: &Edge) -> Output {
    let mut clients = node("client.js");
    clients.arg(format!("http://{}", edge.address));
    let output = clients.arg(CLIENTS.to_string()).output();
    soon("the clients' end", output).await.unwrap()
}

fn configuration(settings: &str, targets: [SocketAddr; 2]) -> Config {
    Config::to_group(settings, &targets)
}

#[tokio::test]
async fn socket_ios_clients_stay_with_their_servers_from_polling_to_websocket() {
    let ((_one, one), (_two, two)) = (server("one").await, server("two").await);
    let sticky = configuration("stickiness: {type: COOKIE}", [one, two]);
    let edge = Edge::start(&sticky).await;

    let output = clients(&edge).await;

    let (said, lines) = (&output.stderr, String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8_lossy(said);
    assert!(output.status.success(), "the clients said:\n{said}");
    let mut seen: Vec<&str> = lines.lines().collect();
    assert_eq!(seen.len(), CLIENTS);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["one one websocket", "two two websocket"]);
    let opened = |target| {
        edge.metric(&format!(
            "tunnels_opened_total{{forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"}}"
        ))
    };
    assert_eq!(opened(one) + opened(two), CLIENTS as f64);
    assert!(
        edge.metric("requests_total{code=\"200\",forwarding_rule=\"edge\",http_rule=\"all\"}")
            > 0.0
    );
}

#[tokio::test]
async fn without_stickiness_socket_ios_clients_find_no_session() {
    let ((_one, one), (_two, two)) = (server("one").await, server("two").await);
    let edge = Edge::start(&configuration("", [one, two])).await;
    let output = clients(&edge).await;
    assert!(!output.status.success());
    // What a client says of it depends on which of its requests went astray first; the servers say
    // 400 to each that did.
    eventually("a server that does not know a session", || {
        let log = edge.log();
        let unknown = log.iter().any(|line| line["httpStatusCode"] == 400);
        unknown.then_some(())
    })
    .await;
}
