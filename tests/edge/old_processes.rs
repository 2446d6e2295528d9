//! What is asked of the process that serves is asked of the old ones, too, which hold tunnels of
//! before an upgrade.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::harness::edge::lines_of;
use crate::harness::{Config, Connection, Edge, Process, Target, eventually, soon};

/// An old process with a tunnel, and a new one that serves.
struct Upgraded {
    old: Edge,
    new: u32,
    tunnel: Connection,
    _target: Target,
}

impl Upgraded {
    async fn start() -> Upgraded {
        let target = Target::named("target").await;
        let configuration = Config::forwarding_to(&[target.address])
            .upgradable()
            .server("drain: {deadline: 10m}, upgrade: {moveTunnels: false}")
            .top("accessLog: {path: FOLDER/access.log}");
        let old = Edge::start(&configuration).await;
        let (tunnel, _) = old.tunnel().await;
        upgrade(&old).await;
        let is_known = || (old.metric("old_generations") == 1.0).then_some(());
        eventually("the new one knows the old one", is_known).await;
        Upgraded {
            new: old.pid_in_file().unwrap(),
            old,
            tunnel,
            _target: target,
        }
    }

    fn signal(&self, name: &str) {
        Process::signal_to(self.new, name);
    }

    /// Waits until both have exited, and returns why the tunnel ended.
    async fn ended(mut self) -> String {
        assert_eq!(self.old.exited().await.code(), Some(0));
        let are_gone = || self.old.processes().is_empty().then_some(());
        eventually("both are gone", are_gone).await;
        let lines = lines_of(&self.old.folder.path().join("access.log"));
        let tunnels = lines.iter().filter(|line| line["upgrade"] == "websocket");
        let ends: Vec<_> = tunnels
            .map(|line| line["closeReason"].as_str().unwrap())
            .collect();
        ends.concat()
    }
}

async fn upgrade(edge: &Edge) {
    let mut upgrade = Command::new(env!("CARGO_BIN_EXE_culvert"));
    upgrade.arg("-c").arg(edge.file()).arg("upgrade");
    let output = soon("the upgrade", upgrade.kill_on_drop(true).output()).await;
    assert!(output.unwrap().status.success());
}

#[tokio::test]
async fn who_has_come_to_the_admin_address_of_an_old_process_is_answered() {
    let target = Target::named("target").await;
    let configuration = Config::forwarding_to(&[target.address]);
    let old = Edge::start(&configuration.server("upgradeSocket: FOLDER/upgrade.sock")).await;
    let _tunnel = old.tunnel().await;
    let mut visitor = Connection::open(old.admin).await;
    upgrade(&old).await;
    visitor
        .send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(visitor.answer_to_end().await.status, 200);
}

#[tokio::test]
async fn sigint_ends_old_processes_at_once() {
    let mut upgraded = Upgraded::start().await;
    upgraded.tunnel.say_hi().await;
    let began = Instant::now();
    upgraded.signal("INT");
    assert_eq!(upgraded.ended().await, "process_exit");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_second_sigterm_ends_old_processes_that_drain() {
    let upgraded = Upgraded::start().await;
    upgraded.signal("TERM");
    let drains = || {
        upgraded
            .old
            .diagnostics()
            .contains("draining: 1 open")
            .then_some(())
    };
    eventually("the old one drains", drains).await;
    assert_eq!(
        upgraded.old.processes().len(),
        2,
        "the drain has ten minutes"
    );
    let began = Instant::now();
    upgraded.signal("TERM");
    assert_ne!(upgraded.ended().await, "");
    assert!(began.elapsed() < Duration::from_secs(15));
}
