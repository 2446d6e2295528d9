//! When clients have taken all open files, the operator's ways in go on working.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::harness::admin::{ask_unix, get, send};
use crate::harness::client::status;
use crate::harness::edge::{get_now, lines_of};
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

const SHORT: &str = "cannot accept";

/// A Culvert that has no open file left: clients have taken them, one of them a tunnel.
struct Exhausted {
    edge: Edge,
    _held: Vec<Connection>,
    tunnel: Connection,
    target: Target,
}

impl Exhausted {
    async fn start() -> Exhausted {
        let target = Target::named("target").await;
        let edge = Edge::start(&configuration("first", &target)).await;
        Exhausted::of(edge, target).await
    }

    async fn of(edge: Edge, target: Target) -> Exhausted {
        let (tunnel, _) = edge.tunnel().await;
        let most = edge.open_files() + 8;
        edge.limit_open_files(most as u64);
        let mut held = Vec::new();
        while edge.errors_about(SHORT) == 0 {
            assert!(held.len() <= 2 * most, "it has {} files", edge.open_files());
            held.push(edge.connect().await);
            sleep(Duration::from_millis(10)).await;
        }
        // There are always some who wait.
        for _ in 0..20 {
            held.push(edge.connect().await);
        }
        Exhausted {
            edge,
            _held: held,
            tunnel,
            target,
        }
    }

    fn reconfigure(&self, name: &str) {
        self.edge.configure(&configuration(name, &self.target));
    }
}

fn configuration(name: &str, target: &Target) -> Config {
    Config::to_group("healthCheck: {checkInterval: 100}", &[target.address])
        .upgradable()
        .top("accessLog: {path: FOLDER/access.log}")
        .rule("clientTimeout: 50s")
        .http_rule(&format!("name: {name}"))
}

#[tokio::test]
async fn every_page_answers_as_often_as_it_is_asked_for() {
    let mut exhausted = Exhausted::start().await;
    for _ in 0..30 {
        for path in [
            "/livez",
            "/readyz",
            "/metrics",
            "/api/v1/status",
            "/api/v1/tunnels",
        ] {
            let answer = exhausted.edge.admin_page(path);
            assert_eq!(status(&answer), 200, "{path}: {answer}");
            assert!(
                path != "/metrics" || answer.contains("\nprocess_open_fds "),
                "{answer}"
            );
        }
    }
    exhausted.tunnel.say_hi().await;
}

#[tokio::test]
async fn a_unix_socket_answers_as_well() {
    let target = Target::named("target").await;
    let at = |listen| configuration("first", &target).admin(listen);
    let edge = Edge::start(&at("127.0.0.1:ADMIN_PORT")).await;
    edge.configure(&at("unix:FOLDER/admin.sock"));
    edge.signal("HUP");
    let socket = edge.folder.path().join("admin.sock");
    let livez = || ask_unix(&socket, "GET", "/livez").ok();
    eventually("the socket is served", livez).await;
    let _exhausted = Exhausted::of(edge, target).await;
    for _ in 0..30 {
        assert_eq!(status(&livez().unwrap()), 200);
    }
}

#[tokio::test]
async fn idle_connections_to_the_admin_address_do_not_use_the_reserve_up() {
    let exhausted = Exhausted::start().await;
    let connect = |_| std::net::TcpStream::connect(exhausted.edge.admin).unwrap();
    let _idle: Vec<_> = (0..100).map(connect).collect();
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(status(&exhausted.edge.admin_page("/livez")), 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "only when they are let go"
    );
}

#[tokio::test]
async fn the_configuration_is_reloaded_by_signal_and_by_the_api() {
    let exhausted = Exhausted::start().await;
    let edge = &exhausted.edge;
    edge.reload(&configuration("second", &exhausted.target))
        .await;
    exhausted.reconfigure("third");
    assert_eq!(send(edge, "POST", "/api/v1/reload").0, 200);
    let rules = get(edge, "/api/v1/status").to_string();
    assert!(rules.contains("third"), "{rules}");
}

#[tokio::test]
async fn an_access_log_that_was_rotated_is_opened_anew() {
    let mut exhausted = Exhausted::start().await;
    let folder = exhausted.edge.folder.path().to_owned();
    let log = folder.join("access.log");
    std::fs::rename(&log, folder.join("rotated.log")).unwrap();
    exhausted.edge.signal("USR1");
    eventually("the file is there", || log.exists().then_some(())).await;
    exhausted.tunnel.leave(1000).await;
    let has_line = || (lines_of(&log).len() == 1).then_some(());
    eventually("the line of the tunnel", has_line).await;
}

/// Upgrades, and waits until the new process serves.
async fn is_upgraded(exhausted: &Exhausted) {
    exhausted.reconfigure("second");
    let edge = &exhausted.edge;
    let old = edge.id();
    let (code, said) = upgrade(edge.file()).await;
    assert_eq!(code, Some(0), "{said}\n{}", edge.diagnostics());
    let is_new = || (get(edge, "/api/v1/status")["pid"] != old).then_some(());
    eventually("the new one serves", is_new).await;
    assert_eq!(edge.get("/").await.text(), "target");
}

#[tokio::test]
async fn an_upgrade_succeeds_and_takes_the_tunnel_along() {
    let mut exhausted = Exhausted::start().await;
    is_upgraded(&exhausted).await;
    let target = exhausted.target.address;
    let labels = format!("forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"");
    let adopted = format!("tunnels_adopted_total{{{labels}}}");
    exhausted.edge.metric_becomes(&adopted, 1.0).await;
    exhausted.tunnel.say_hi().await;
}

#[tokio::test]
async fn after_an_upgrade_the_old_process_tells_of_its_tunnel() {
    let target = Target::named("target").await;
    let stays = configuration("first", &target).server("upgrade: {moveTunnels: false}");
    let edge = Edge::start(&stays).await;
    let mut exhausted = Exhausted::of(edge, target).await;
    is_upgraded(&exhausted).await;
    let edge = &exhausted.edge;
    let reports = || (edge.metric("old_generation_tunnels") == 1.0).then_some(());
    eventually("the old one reports", reports).await;
    exhausted.tunnel.say_hi().await;
}

#[tokio::test]
async fn an_upgrade_that_fails_says_why_and_changes_nothing() {
    let mut exhausted = Exhausted::start().await;
    exhausted.edge.configure(&"forwardingRules: 7");
    let (code, said) = upgrade(exhausted.edge.file()).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("forwardingRules"), "{said}");
    exhausted.reconfigure("second");
    let broken = ["--binary", "/nowhere/culvert"];
    let (code, said) = upgrade_with(exhausted.edge.file(), &broken).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere/culvert"), "{said}");
    exhausted.tunnel.say_hi().await;
    assert_eq!(
        get(&exhausted.edge, "/api/v1/status")["pid"],
        exhausted.edge.id()
    );
}

#[tokio::test]
async fn where_not_even_the_reserve_helps_each_way_in_says_so_once_in_a_while() {
    let mut exhausted = Exhausted::start().await;
    exhausted.edge.limit_open_files(3);
    let admin = std::net::TcpStream::connect(exhausted.edge.admin).unwrap();
    let socket = exhausted.edge.folder.path().join("upgrade.sock");
    let visitor = UnixStream::connect(socket).unwrap();
    for way in ["admin.listen", "server.upgradeSocket"] {
        let said = || (exhausted.edge.errors_about(way) > 0).then_some(());
        eventually("a line says so", said).await;
    }

    let (began, before) = (Instant::now(), exhausted.edge.processor_time());
    while began.elapsed() < Duration::from_secs(2) {
        exhausted.tunnel.say_hi().await;
        sleep(Duration::from_millis(100)).await;
    }

    // Each has tried twenty times since.
    for way in ["admin.listen", "server.upgradeSocket"] {
        assert_eq!(exhausted.edge.errors_about(way), 1, "{way}");
    }
    let share = (exhausted.edge.processor_time() - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.2, "{:.0} % of a core", share * 100.0);
    exhausted.edge.limit_open_files(1000);
    drop(visitor);
    let answers = || get_now(exhausted.edge.admin, "/livez");
    assert_eq!(
        eventually("it answers again", answers).await.lines().next(),
        Some("HTTP/1.1 200 OK")
    );
    drop(admin);
}

async fn upgrade(file: PathBuf) -> (Option<i32>, String) {
    upgrade_with(file, &[]).await
}

/// Runs `culvert upgrade`; how it ended, and what it said.
async fn upgrade_with(file: PathBuf, options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_culvert"));
    command.arg("-c").arg(file).arg("upgrade").args(options);
    let output = command.kill_on_drop(true).output();
    let output = soon("the command ends", output).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}
