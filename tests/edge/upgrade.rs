//! A new process takes the place of the old one: nobody is refused, and the tunnels of the old one
//! live on.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::mpsc;

use crate::harness::client::sent_away;
use crate::harness::edge::{get_now, lines_of};
use crate::harness::{Config, Edge, Load, Process, Target, eventually, soon};

pub const CULVERT: &str = env!("CARGO_BIN_EXE_culvert");
pub const LONG: &str = "upgrade: {drainDeadline: 1h}";

/// A Culvert that may be upgraded. Each generation answers with its name; handshakes go to a
/// target.
pub struct Lineage {
    pub edge: Edge,
    pub target: Target,
    pub server: &'static str,
}

impl Lineage {
    /// The first generation, `first`, with these settings of `server`.
    pub async fn start(server: &'static str) -> Lineage {
        let target = Target::named("target").await;
        let edge = Edge::start(&configuration("first", server, &target)).await;
        Lineage {
            edge,
            target,
            server,
        }
    }

    /// Writes the file of another generation.
    pub fn prepare(&self, name: &str) {
        self.edge
            .configure(&configuration(name, self.server, &self.target));
    }

    /// Runs `culvert -c FILE upgrade` with these options; returns its exit code and what it said on
    /// standard error.
    pub async fn upgrade(&self, options: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(CULVERT);
        command.arg("-c").arg(self.edge.file()).arg("upgrade");
        command.args(options).kill_on_drop(true);
        let output = soon("the command ends", command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// Upgrades to a generation of this name, and waits until it alone serves.
    pub async fn succeeds(&self, name: &str) {
        self.prepare(name);
        let (code, said) = self.upgrade(&[]).await;
        assert_eq!(code, Some(0), "{said}");
        let answer = || get_now(self.edge.address, "/").expect("an answer");
        let answers = || answer().ends_with(name);
        let serves_alone = || (0..10).all(|_| answers()).then_some(());
        eventually("the new one serves", serves_alone).await;
        let is_ready = || self.edge.admin_page("/readyz").contains(" 200 ");
        eventually("it is ready", || is_ready().then_some(())).await;
    }

    /// Upgrades to a process that is not what it should be, and that must not matter; returns what
    /// the command said.
    pub async fn fails(&self, check: &str, start: &str) -> String {
        let path = self.impostor(check, start);
        let (code, said) = self.upgrade(&["--binary", path.to_str().unwrap()]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(!said.trim().is_empty(), "no reason");
        self.nothing_changed().await;
        said
    }

    /// The first generation serves, and there is no other.
    pub async fn nothing_changed(&self) {
        for _ in 0..10 {
            assert_eq!(self.edge.get("/").await.text(), "first");
        }
        assert_eq!(self.edge.pid_in_file(), Some(self.edge.id()));
        assert!(self.edge.admin_page("/readyz").contains(" 200 "));
        assert_eq!(self.edge.metric("draining"), 0.0);
        let is_alone = || (self.edge.processes() == [self.edge.id()]).then_some(());
        eventually("the new process is gone", is_alone).await;
    }

    /// An executable that does this when it is asked to check a configuration, and this when it is
    /// to serve.
    pub fn impostor(&self, check: &str, start: &str) -> PathBuf {
        let path = self.edge.folder.path().join("impostor");
        let choose = "for word; do case \"$word\" in -t*|--test)";
        let script = format!("#!/bin/sh\n{choose} {check} ;; esac; done\n{start}\n");
        std::fs::write(&path, script.replace("CULVERT", CULVERT)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }
}

pub fn configuration(name: &str, server: &str, target: &Target) -> Config {
    let rule = format!(
        "{{name: name, type: STATIC, statusCode: 200, responseMessage: {name},
            conditions: [{{type: HEADER, key: Upgrade, condition: EXISTS, negate: true}}]}}"
    );
    Config::to_group("", &[target.address])
        .upgradable()
        .server(server)
        .top("accessLog: {path: FOLDER/access.log}")
        .http_rule("name: tunnels")
        .http_rules(&rule)
}

/// What a real new process does.
pub const REAL: &str = "exec CULVERT \"$@\"";

#[tokio::test]
async fn the_command_ends_with_0_when_the_new_process_serves_and_the_old_one_exits_with_0() {
    let mut lineage = Lineage::start(LONG).await;
    let old = lineage.edge.id();
    lineage.edge.pid_file_names(old).await;

    lineage.succeeds("second").await;

    assert_eq!(lineage.edge.exited().await.code(), Some(0));
    let new = lineage.edge.processes();
    assert!(new.len() == 1 && new[0] != old, "{new:?} after {old}");
    assert_eq!(lineage.edge.pid_in_file(), Some(new[0]));
    let program = std::fs::read_link(format!("/proc/{}/exe", new[0])).unwrap();
    assert_eq!(program, std::fs::canonicalize(CULVERT).unwrap());
    assert_eq!(lineage.edge.get("/").await.text(), "second");
    assert_eq!(lineage.edge.metric("draining"), 0.0);
}

#[tokio::test]
async fn only_its_user_may_ask_for_an_upgrade() {
    let lineage = Lineage::start(LONG).await;
    let mode = || {
        let socket = lineage.edge.folder.path().join("upgrade.sock");
        let metadata = std::fs::metadata(socket).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    lineage.succeeds("second").await;
    assert_eq!(mode(), 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_upgrades_under_a_load_of_connections_refuse_and_reset_none() {
    let lineage = Lineage::start(LONG).await;
    let edge = &lineage.edge;
    let load = Load::on(edge.address);
    let mut clients = edge.tunnels(5).await;
    for name in ["second", "third", "fourth"] {
        lineage.succeeds(name).await;
        clients.extend(edge.tunnels(5).await);
        let before = load.answered();
        let goes_on = || (load.answered() > before + 50).then_some(());
        eventually("the load goes on", goes_on).await;
    }

    let requests = load.stop().await;

    for client in &mut clients {
        client.say_hi().await;
    }
    let is_alone = || (edge.processes().len() == 1).then_some(());
    eventually("the tunnels have moved", is_alone).await;
    let counted = |count| {
        let active = edge.tunnels_active(lineage.target.address);
        (active == count).then_some(())
    };
    eventually("all tunnels are counted", || counted(20.0)).await;
    for client in &mut clients {
        client.leave(1000).await;
    }
    eventually("none is counted", || counted(0.0)).await;
    let is_alone = || (edge.processes().len() == 1).then_some(());
    eventually("the old ones have exited", is_alone).await;
    let count = |uri: &str, status: u16| {
        let mut lines = lines_of(&edge.folder.path().join("access.log"));
        lines.retain(|line| line["requestUri"] == uri || line["httpStatusCode"] == status);
        lines.len()
    };
    let has_all = || (count("/load", 0) >= requests && count("", 101) >= 20).then_some(());
    eventually("all lines", has_all).await;
    assert_eq!((count("/load", 0), count("", 101)), (requests, 20));
}

#[tokio::test]
async fn tunnels_of_the_old_process_live_until_the_drain_deadline_and_are_sent_away_then() {
    let server = "upgrade: {drainDeadline: 3s, moveTunnels: false}, drain: {deadline: 4s}";
    let mut lineage = Lineage::start(server).await;
    let mut clients = lineage.edge.tunnels(10).await;
    let since = Instant::now();
    lineage.succeeds("second").await;
    let mut own = lineage.edge.tunnels(1).await.remove(0);
    for client in &mut clients {
        client.say_hi().await;
    }

    let moments = sent_away(clients, since).await;

    assert!(moments[0] >= Duration::from_secs(3), "{moments:?}");
    assert!(moments[9] < Duration::from_secs(15), "{moments:?}");
    let spread = moments[9] - moments[0];
    assert!(spread > Duration::from_millis(500), "{moments:?}");
    assert_eq!(lineage.edge.exited().await.code(), Some(0));
    let mut lines = lines_of(&lineage.edge.folder.path().join("access.log"));
    lines.retain(|line| line["upgrade"] == "websocket");
    assert_eq!(lines.len(), 10);
    let is_drained = |line| line == ("drained", 1012);
    let ends = lines
        .iter()
        .map(|line| (line["closeReason"].as_str(), line["closeCode"].as_u64()));
    let mut ends = ends.map(|(reason, code)| (reason.unwrap(), code.unwrap()));
    assert!(ends.all(is_drained), "{lines:#?}");
    own.say_hi().await;
    assert!(lineage.edge.admin_page("/readyz").contains(" 200 "));
    assert_eq!(lineage.edge.metric("draining"), 0.0);
}

#[tokio::test]
async fn sigterm_to_the_new_process_drains_the_old_ones_too() {
    let server = "upgrade: {drainDeadline: 1h, moveTunnels: false}, drain: {deadline: 2s}";
    let mut lineage = Lineage::start(server).await;
    let mut clients = lineage.edge.tunnels(5).await;
    lineage.succeeds("second").await;
    lineage.succeeds("third").await;
    let are_two = || (lineage.edge.processes().len() == 2).then_some(());
    eventually("the second is gone, which had nothing to keep", are_two).await;
    for client in &mut clients {
        client.say_hi().await;
    }

    let new = lineage.edge.pid_in_file().unwrap();
    Process::signal_to(new, "TERM");

    let moments = sent_away(clients, Instant::now()).await;
    assert_eq!(moments.len(), 5);
    assert_eq!(lineage.edge.exited().await.code(), Some(0));
    let are_gone = || lineage.edge.processes().is_empty().then_some(());
    eventually("all processes are gone", are_gone).await;
    assert_eq!(lineage.edge.pid_in_file(), None);
    let log = lines_of(&lineage.edge.folder.path().join("access.log"));
    let drained = log.iter().filter(|line| line["closeReason"] == "drained");
    assert_eq!(drained.count(), 5);
}

#[tokio::test]
async fn a_drain_in_the_middle_of_a_hand_over_calls_that_off_and_lets_the_new_process_know() {
    let mut lineage = Lineage::start("upgrade: {timeout: 1h}").await;
    let (mut successor, mut said) = successor(&lineage.edge.folder.path().join("upgrade.sock"));
    successor.write_all(b"\"takeOver\"\n").unwrap();
    // Until the process has seen who waits, the signal means nothing to it.
    let first = || {
        lineage.edge.signal("QUIT");
        said.try_recv().ok()
    };
    eventually("the hand-over begins", first).await;
    while soon("a line", said.recv()).await.as_deref() != Some("\"allSockets\"") {}
    successor.write_all(b"\"ready\"\n").unwrap();
    let over = soon("it stops accepting", said.recv()).await;
    assert_eq!(over.as_deref(), Some("\"over\""));

    lineage.edge.signal("TERM");

    let last = soon("the last word", said.recv()).await;
    assert!(
        last.as_ref().is_some_and(|line| line.contains("giveUp")),
        "{last:?}"
    );
    assert_eq!(lineage.edge.exited().await.code(), Some(0));
}

/// A process that says it would take over, and what it is told. The lines come with sockets beside
/// them, after each of which a read ends: too short reads for tokio, which takes them for the last.
pub fn successor(socket: &Path) -> (UnixStream, mpsc::UnboundedReceiver<String>) {
    let stream = UnixStream::connect(socket).unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in reader.lines() {
            sender.send(line.unwrap()).ok();
        }
    });
    (stream, receiver)
}

#[tokio::test]
async fn of_two_upgrades_at_once_one_is_refused() {
    let lineage = Lineage::start(LONG).await;
    lineage.prepare("second");
    let path = lineage.impostor("sleep 3", REAL);
    let slow = ["--binary", path.to_str().unwrap()];
    let (first, second) = tokio::join!(lineage.upgrade(&slow), lineage.upgrade(&slow));
    let mut codes = [first.0, second.0];
    codes.sort();
    assert_eq!(codes, [Some(0), Some(1)], "{} {}", first.1, second.1);
    let refusals = [first.1, second.1].concat();
    assert!(
        refusals.contains("another upgrade is under way"),
        "{refusals}"
    );
    let serves = || {
        let answer = get_now(lineage.edge.address, "/")?;
        answer.ends_with("second").then_some(())
    };
    eventually("the new one serves", serves).await;
}
