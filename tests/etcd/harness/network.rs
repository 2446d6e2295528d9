//! A network of a test's own: each member of etcd in a namespace with two interfaces, one towards
//! its clients and one towards the other members, which can be taken down by itself.
//!
//! The test runs itself again in a namespace, in which there are two bridges; the members have
//! theirs inside of it. All of it goes with the processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Set where the test is in its namespace already.
const INSIDE: &str = "CULVERT_TEST_INSIDE";

/// What a member does until its interfaces are there.
const MEMBER: &str = "echo there; read go; exec etcd \"$@\" >&2";

/// Its bridges, and the network of each.
const BRIDGES: [(&str, &str); 2] = [("clients", "10.81.0"), ("peers", "10.82.0")];

/// A network of a test's own.
pub struct Network(());

impl Network {
    /// Runs this test in a namespace, where it gets the network; outside, `None`, once it is over
    /// there. With a word and without a run where namespaces are not allowed.
    pub fn enter(test: &str) -> Option<Network> {
        if std::env::var_os(INSIDE).is_some() {
            return Some(Network::new());
        }
        let unshare = ["--user", "--map-root-user", "--net"];
        let probe = Command::new("unshare")
            .args(unshare)
            .arg("ip")
            .arg("link")
            .output();
        if !probe.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no namespaces, or no `ip`, on this machine");
            return None;
        }
        let status = Command::new("unshare")
            .args(unshare)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1")
            .status();
        assert!(status.unwrap().success(), "it failed in its namespace");
        None
    }

    fn new() -> Network {
        ip("link set lo up");
        for (bridge, network) in BRIDGES {
            ip(&format!("link add {bridge} type bridge"));
            ip(&format!("address add {network}.254/24 dev {bridge}"));
            ip(&format!("link set {bridge} up"));
        }
        Network(())
    }

    /// Where a member listens for clients and for the others.
    pub fn addresses(&self, place: usize) -> [SocketAddr; 2] {
        let address = |(_, network)| format!("{network}.{}:2379", place + 1).parse().unwrap();
        BRIDGES.map(address)
    }

    /// What runs a member, before its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", MEMBER, "sh"]);
        command
    }

    /// Starts a member, and gives it its interfaces.
    pub fn spawn(&self, place: usize, mut command: Command) -> Child {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = pipes.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "there");
        let pid = process.id();
        for (bridge, network) in BRIDGES {
            let (outer, inner) = (format!("{bridge}{place}"), bridge);
            ip(&format!(
                "link add {outer} type veth peer name {inner} netns {pid}"
            ));
            ip(&format!("link set {outer} master {bridge} up"));
            let address = format!("address add {network}.{}/24 dev {inner}", place + 1);
            ip_of(pid, &address);
            ip_of(pid, &format!("link set {inner} up"));
        }
        ip_of(pid, "link set lo up");
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        process
    }

    /// Cuts a member off from the others. Its clients still reach it.
    pub fn cut_off(&self, place: usize) {
        ip(&format!("link set peers{place} down"));
    }

    /// Cuts a member off from its clients. The others still reach it.
    pub fn hide(&self, place: usize) {
        ip(&format!("link set clients{place} down"));
    }

    /// Undoes both.
    pub fn heal(&self, place: usize) {
        for (bridge, _) in BRIDGES {
            ip(&format!("link set {bridge}{place} up"));
        }
    }
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn ip_of(pid: u32, arguments: &str) {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net", "ip"]);
    run(command.args(arguments.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
