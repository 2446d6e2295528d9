//! Targets on Unix sockets: requests, tunnels, checks, TLS, HTTP/2 and the PROXY protocol are as
//! they are over TCP, and the path is what such a target is called. The one who listens is nginx.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::admin::{ask, get};
use crate::harness::client::CLOSE;
use crate::harness::{Authority, Config, Edge, Nginx, Target, eventually};

/// A Unix socket in a folder of its own, where nobody listens yet.
struct Socket(TempDir);

impl Socket {
    fn new() -> Socket {
        Socket(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("app.sock")
    }

    /// What a target here is called.
    fn name(&self) -> String {
        format!("unix:{}", self.path().display())
    }

    /// nginx that listens here, before a target; with these options of its listener and settings of
    /// its server.
    async fn nginx(&self, target: &Target, options: &str, settings: &str) -> Nginx {
        let settings = format!("listen {} {options}; {settings}", self.name());
        let nginx = Nginx::before(target.address, "", &settings).await;
        let is_there = || self.path().exists().then_some(());
        eventually("nginx at the socket", is_there).await;
        nginx
    }

    /// A configuration that forwards everything to the target here.
    fn config(&self) -> Config {
        let path = self.path();
        Config::forwarding_to(&[]).group(&format!(
            "responseTimeout: 15s, targets: [{{unix: {}}}]",
            path.display()
        ))
    }
}

fn is_healthy(socket: &Path) -> String {
    format!(
        "target_healthy{{target=\"unix:{}\",target_group=\"group\"}}",
        socket.display()
    )
}

#[tokio::test]
async fn requests_and_tunnels_are_carried_over_a_unix_socket() {
    let (socket, target) = (Socket::new(), Target::named("chat").await);
    let _nginx = socket.nginx(&target, "", "").await;
    let edge = Edge::start(&socket.config()).await;
    let mut client = edge.connect().await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        client
            .send("GET /a HTTP/1.1\r\nHost: chat.example\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "chat"));
        connections.push(answer.header("x-connection").unwrap().to_owned());
    }
    assert_eq!(
        connections[0], connections[1],
        "the connection is used again"
    );
    let (mut tunnel, _) = edge.tunnel().await;
    tunnel.say_hi().await;
    let listed = get(&edge, "/api/v1/tunnels");
    assert_eq!(listed["tunnels"][0]["target"], socket.name());
    tunnel.leave(1000).await;
    for line in edge.log_lines(3).await {
        assert_eq!(line["target"], socket.name());
    }
    let opened = format!(
        "tunnels_opened_total{{forwarding_rule=\"edge\",target=\"{}\",target_group=\"group\"}}",
        socket.name()
    );
    assert_eq!(edge.metric(&opened), 1.0);
}

#[tokio::test]
async fn each_type_of_check_asks_on_the_socket() {
    let (socket, target) = (Socket::new(), Target::named("chat").await);
    for check in ["type: TCP", "type: HTTP, path: /", "type: WEBSOCKET"] {
        std::fs::remove_file(socket.path()).ok();
        let keys = format!(
            "healthCheck: {{{check}, checkInterval: 50, checkTimeout: null, unhealthyThreshold: 1}}"
        );
        let edge = Edge::start(&socket.config().group(&keys)).await;
        edge.metric_becomes(&is_healthy(&socket.path()), 0.0).await;
        edge.says("1 check failed, the last: No such file or directory")
            .await;
        assert_eq!(edge.get("/").await.status, 503, "{check}");
        let _nginx = socket.nginx(&target, "", "").await;
        edge.metric_becomes(&is_healthy(&socket.path()), 1.0).await;
        assert_eq!(edge.get("/").await.text(), "chat", "{check}");
    }
}

#[tokio::test]
async fn tls_and_http_2_are_spoken_to_localhost() {
    let (socket, target, authority) = (Socket::new(), Target::showing().await, Authority::new());
    authority.issue("one", &["localhost"]);
    let file = |name| authority.file(name).display().to_string();
    let settings = format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        file("one.crt"),
        file("one.key")
    );
    let _nginx = socket.nginx(&target, "ssl http2", &settings).await;
    let keys = format!(
        "protocol: HTTPS, protocolVersion: HTTP2, caFile: {}",
        file("ca.crt")
    );
    let edge = Edge::start(&socket.config().group(&keys)).await;
    let answer = edge.get("/").await;
    assert_eq!(
        (answer.status, answer.header("x-protocol")),
        (200, Some("HTTP/2.0"))
    );
}

#[tokio::test]
async fn the_proxy_protocol_tells_of_the_client() {
    let (socket, target) = (Socket::new(), Target::named("chat").await);
    let settings = "add_header X-Client $proxy_protocol_addr always;";
    let _nginx = socket.nginx(&target, "proxy_protocol", settings).await;
    let edge = Edge::start(&socket.config().each_target("proxyProtocol: v2")).await;
    assert_eq!(edge.get("/").await.header("x-client"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_request_without_a_host_is_for_localhost() {
    let (socket, target) = (Socket::new(), Target::showing().await);
    let settings = "add_header X-Host $host always;";
    let _nginx = socket.nginx(&target, "", settings).await;
    let edge = Edge::start(&socket.config()).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer_to_end().await;
    assert_eq!(
        (answer.status, answer.header("x-host")),
        (200, Some("localhost"))
    );
}

#[tokio::test]
async fn a_request_goes_on_to_another_target_where_nobody_listens() {
    let (socket, other) = (Socket::new(), Target::answering("other").await);
    drop(UnixListener::bind(socket.path()).unwrap());
    let configuration = socket
        .config()
        .each_target("healthCheckEnabled: false")
        .target(other.address, "");
    let edge = Edge::start(&configuration).await;
    for _ in 0..4 {
        assert_eq!(edge.get("/").await.text(), "other");
    }
    let errors = format!(
        "target_connect_errors_total{{target=\"{}\",target_group=\"group\"}}",
        socket.name()
    );
    assert!(edge.metric(&errors) >= 1.0);
}

#[tokio::test]
async fn an_operator_means_it_by_its_path() {
    let (socket, target) = (Socket::new(), Target::named("chat").await);
    let _nginx = socket.nginx(&target, "", "").await;
    let edge = Edge::start(&socket.config()).await;
    let (mut tunnel, _) = edge.tunnel().await;
    tunnel.say_hi().await;
    let name = socket.name().replace('/', "%2F");
    let (status, ended) = ask(
        &edge,
        "DELETE",
        &format!("/api/v1/tunnels?target={name}"),
        &[],
        "",
    );
    assert!(status < 300, "{status} {ended}");
    let violation = [3, 240];
    assert_eq!(tunnel.frame().await, Some((CLOSE, violation.to_vec())));
    let path = format!("/api/v1/targetgroups/group/targets/{name}");
    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"maintenance\": true}");
    assert_eq!(
        (status, &answer["address"]),
        (200, &Value::from(socket.name()))
    );
    assert_eq!(edge.get("/").await.status, 503);
}

#[tokio::test]
async fn a_new_process_knows_which_socket_is_unhealthy() {
    let socket = Socket::new();
    let slow = socket.config().upgradable();
    let edge = Edge::start(&slow).await;
    edge.metric_becomes(&is_healthy(&socket.path()), 0.0).await;
    edge.configure(&slow.group("healthCheck: {checkInterval: 1h}"));
    let _old = edge.hand_over().await;
    eventually("the new process tells of its targets", || {
        let status = get(&edge, "/api/v1/status");
        let target = &status["targetGroups"][0]["targets"][0];
        (target["address"] == socket.name()).then(|| assert_eq!(target["healthy"], false))
    })
    .await;
}
