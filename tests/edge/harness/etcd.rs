//! Members of etcd that a test starts, kills and starts again, and nodes that keep their objects
//! there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::api::{Api, group_path};
use super::ports::free_addresses;
use super::{Config, Edge, Process, eventually};

/// A cluster. Dropping it kills all members.
pub struct Etcd {
    folder: TempDir,
    members: Vec<Member>,
}

struct Member {
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
}

impl Etcd {
    /// One member that answers; `None`, with a word, where there is no etcd.
    pub async fn start() -> Option<Etcd> {
        Etcd::of(1).await
    }

    /// So many members that answer; `None`, with a word, where there is no etcd.
    pub async fn of(count: usize) -> Option<Etcd> {
        let is_there = |program| Command::new(program).arg("--version").output().is_ok();
        if !(is_there("etcd") && is_there("etcdctl")) {
            eprintln!("skipped: no etcd on this machine (make etcd installs it)");
            return None;
        }
        let member = |_| {
            let [client, peer] = free_addresses();
            Member {
                client,
                peer,
                process: None,
            }
        };
        let mut etcd = Etcd {
            folder: tempfile::tempdir().unwrap(),
            members: (0..count).map(member).collect(),
        };
        etcd.run().await;
        Some(etcd)
    }

    /// Runs all members that do not run, again perhaps, until they answer.
    pub async fn run(&mut self) {
        let peers = self.peers();
        for place in 0..self.members.len() {
            let arguments = self.arguments(place, &peers);
            let member = &mut self.members[place];
            if member.process.is_none() {
                let mut command = Command::new("etcd");
                command.args(arguments).stdout(Stdio::null());
                member.process = Some(command.stderr(Stdio::null()).spawn().unwrap());
            }
        }
        for place in 0..self.members.len() {
            let answers = || self.try_ctl(place, &["get", "x"]);
            eventually("a member that answers", answers).await;
        }
    }

    fn arguments(&self, place: usize, peers: &str) -> [String; 8] {
        let member = &self.members[place];
        let (client, peer) = (format!("http://{}", member.client), member.peer());
        [
            format!("--name=m{place}"),
            format!("--data-dir={}", self.data(place).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={peers}"),
            "--logger=zap".to_owned(),
        ]
    }

    fn peers(&self) -> String {
        let members = self.members.iter().enumerate();
        let peers = members.map(|(place, member)| format!("m{place}={}", member.peer()));
        peers.collect::<Vec<_>>().join(",")
    }

    /// Where a member keeps its data.
    fn data(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("m{place}"))
    }

    /// Kills all members.
    pub fn kill(&mut self) {
        (0..self.members.len()).for_each(|place| self.kill_one(place));
    }

    /// Kills a member.
    pub fn kill_one(&mut self, place: usize) {
        if let Some(mut process) = self.members[place].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Sends a signal to all members.
    pub fn signal(&self, name: &str) {
        let processes = self
            .members
            .iter()
            .filter_map(|member| member.process.as_ref());
        processes.for_each(|process| Process::signal_to(process.id(), name));
    }

    /// How many transactions have changed something.
    pub fn revision(&self) -> u64 {
        let status = self.ctl(&["get", "x", "-w", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        status["header"]["revision"].as_u64().unwrap()
    }

    /// Has the first member keep what it has in a file.
    pub fn save(&self) -> PathBuf {
        let file = self.folder.path().join("snapshot");
        self.ctl(&["snapshot", "save", file.to_str().unwrap()]);
        file
    }

    /// Kills all members, and starts them anew with what is in this file.
    pub async fn restore(&mut self, file: &Path) {
        self.kill();
        for (place, member) in self.members.iter().enumerate() {
            let data = self.data(place);
            std::fs::remove_dir_all(&data).unwrap();
            self.ctl(&[
                "snapshot",
                "restore",
                file.to_str().unwrap(),
                &format!("--name=m{place}"),
                &format!("--data-dir={}", data.display()),
                &format!("--initial-advertise-peer-urls={}", member.peer()),
                &format!("--initial-cluster={}", self.peers()),
            ]);
        }
        self.run().await;
    }

    /// Where the first member is.
    pub fn address(&self) -> SocketAddr {
        self.members[0].client
    }

    /// A node of this name that keeps its objects there, with these further keys of `api`.
    pub async fn node(&self, name: &str, keys: &str) -> Api {
        self.node_with(Config::answering("hello"), name, keys).await
    }

    /// The same with this configuration.
    pub async fn node_with(&self, config: Config, name: &str, keys: &str) -> Api {
        let members: Vec<_> = self.members.iter().map(|member| member.client).collect();
        node_at(&members, config, name, keys).await
    }

    /// Two nodes, of which the first knows that the other is there.
    pub async fn two_nodes(&self) -> (Api, Api) {
        let (one, other) = (self.node("one", "").await, self.node("other", "").await);
        self.knows(&one, &other, "other").await;
        (one, other)
    }

    /// Waits until a node knows that another is there, which is called this.
    pub async fn knows(&self, node: &Api, other: &Api, name: &str) {
        let key = format!("/culvert/nodes/{name}");
        let reported = || self.ctl(&["get", &key]).contains(&key).then_some(());
        eventually("the other in etcd", reported).await;
        // What is written after that is seen after that.
        let path = group_path(&other.group());
        let seen = || (node.ask("GET", &path, &[], "").status() == 200).then_some(());
        eventually("what the other writes", seen).await;
    }

    /// What `etcdctl` says of the first member; it must go well.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(0, arguments).expect("etcdctl")
    }

    fn try_ctl(&self, place: usize, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("etcdctl");
        let endpoint = format!("http://{}", self.members[place].client);
        command.args(["--endpoints", &endpoint]).args(arguments);
        let output = command.env("ETCDCTL_API", "3").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(said)
    }
}

/// A node of this name that finds etcd at these addresses.
async fn node_at(endpoints: &[SocketAddr], config: Config, name: &str, keys: &str) -> Api {
    let [address] = free_addresses();
    let config = config_at(endpoints, config.api(address, keys), name);
    let edge = Edge::start(&config).await;
    Api { edge, address }
}

/// The configuration of a node of this name, of which `api` has no store yet that is shared.
pub fn config_at(endpoints: &[SocketAddr], config: Config, name: &str) -> Config {
    let url = |endpoint: &SocketAddr| format!("'http://{endpoint}'");
    let urls: Vec<_> = endpoints.iter().map(url).collect();
    let store = format!("type: ETCD, endpoints: [{}], node: {name}", urls.join(", "));
    config.top(&format!("api: {{store: {{{store}}}}}"))
}

impl Member {
    fn peer(&self) -> String {
        format!("http://{}", self.peer)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
