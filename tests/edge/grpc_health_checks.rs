//! Checks of the type GRPC ask by the health checking protocol of gRPC, over HTTP/2, and only
//! SERVING passes.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};

use crate::gateway_health_checks::under;
use crate::gateway_target_checks::becomes;
use crate::harness::tls::{TARGET_HOST, over_tls, trusting};
use crate::harness::{Authority, Config, Edge, Target, python, soon};
use crate::health::{OFTEN, checked, is_healthy, status};

/// A server of gRPC in Python.
struct Server {
    _child: Child,
    stdin: ChildStdin,
    address: SocketAddr,
}

impl Server {
    /// One with these arguments that says `SERVICE=STATUS`.
    async fn saying(arguments: &[&str], said: &str) -> Server {
        let mut command = python("grpc_health.py");
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("its address", lines.next_line()).await.unwrap();
        let mut server = Server {
            _child: child,
            stdin,
            address: line.unwrap().parse().unwrap(),
        };
        server.say(said).await;
        server
    }

    async fn say(&mut self, said: &str) {
        let line = format!("{said}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }
}

async fn checking(keys: &str, server: &Server) -> Edge {
    let keys = format!("healthCheck: {{type: GRPC, {keys} {OFTEN}}}");
    Edge::start(&Config::to_group(&keys, &[server.address])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_serving_is_unhealthy_and_comes_back() {
    let mut server = Server::saying(&[], "=SERVING").await;
    let edge = checking("", &server).await;
    checked(&edge, server.address, "passed", 2.0).await;
    server.say("=NOT_SERVING").await;
    is_healthy(&edge, server.address, false).await;
    let last = &status(&edge, server.address)["lastCheck"];
    assert_eq!(last["reason"], "status NOT_SERVING");
    server.say("=SERVING").await;
    is_healthy(&edge, server.address, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_service_that_is_named_counts() {
    let mut server = Server::saying(&[], "=SERVING").await;
    let edge = checking("service: chat.v1.Chat,", &server).await;
    is_healthy(&edge, server.address, false).await;
    let last = &status(&edge, server.address)["lastCheck"];
    assert_eq!(last["reason"], "grpc-status 5 (the service is not known)");
    server.say("chat.v1.Chat=SERVING").await;
    is_healthy(&edge, server.address, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_of_plain_http_fails() {
    let target = Target::answering("hello").await;
    let keys = format!("healthCheck: {{type: GRPC, {OFTEN}}}");
    let edge = Edge::start(&Config::to_group(&keys, &[target.address])).await;
    is_healthy(&edge, target.address, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_http2_is_agreed_upon() {
    let authority = Authority::new();
    authority.issue("chat", &[TARGET_HOST]);
    let files = authority
        .files("chat")
        .map(|path| path.display().to_string());
    let files = files.each_ref().map(String::as_str);
    let server = Server::saying(&files, "=SERVING").await;
    let other = authority.serving("chat").await;
    for (address, passes) in [(server.address, true), (other.address, false)] {
        let trust = trusting(&authority);
        let keys = format!("{trust}, healthCheck: {{type: GRPC, {OFTEN}}}");
        let edge = Edge::start(&over_tls(&keys, &[address])).await;
        let result = if passes { "passed" } else { "failed" };
        checked(&edge, address, result, 2.0).await;
        is_healthy(&edge, address, passes).await;
        let last = &status(&edge, address)["lastCheck"];
        let reason = (!passes).then_some("no HTTP/2 was agreed upon (ALPN)");
        assert_eq!(last.get("reason").and_then(|why| why.as_str()), reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_policy_asks_by_grpc_for_its_service() {
    let target = Target::answering("hello").await;
    let mut server = Server::saying(&[], "chat=NOT_SERVING").await;
    let says = format!(
        "default: {{interval: 50ms, unhealthyThreshold: 1, port: {}, grpc: {{service: chat}}}}",
        server.address.port()
    );
    let edge = under(&says, &target).await;
    becomes(&edge, 503).await;
    server.say("chat=SERVING").await;
    becomes(&edge, 200).await;
}
