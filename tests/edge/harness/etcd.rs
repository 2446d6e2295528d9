//! Members of etcd that a test starts, kills and starts again, and nodes that keep their objects
//! there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::api::{Api, group_path};
use super::network::Network;
use super::ports::free_addresses;
use super::{Authority, Config, Edge, Process, eventually};

/// A cluster. Dropping it kills all members.
pub struct Etcd {
    folder: TempDir,
    members: Vec<Member>,
    scheme: &'static str,
    /// What members are started with beside their addresses.
    options: Vec<String>,
    /// What `etcdctl` is called with beside the endpoint.
    ctl: Vec<String>,
    network: Option<Network>,
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
        let mut etcd = Etcd::new(count, None)?;
        etcd.run().await;
        Some(etcd)
    }

    /// Three members in a network of the test's own; `None` where the test has run again inside of
    /// that, and has nothing to do outside.
    pub async fn inside(test: &str) -> Option<Etcd> {
        is_there().then_some(())?;
        let network = Network::enter(test)?;
        let mut etcd = Etcd::new(3, Some(network))?;
        etcd.run().await;
        Some(etcd)
    }

    /// One member that speaks TLS with the certificate `member` of this authority, to whoever has
    /// one of its certificates; `etcdctl` has `operator`.
    pub async fn encrypted(authority: &Authority) -> Option<Etcd> {
        let mut etcd = Etcd::new(1, None)?;
        let file = |name| authority.file(name).display().to_string();
        etcd.scheme = "https";
        etcd.options = vec![
            format!("--cert-file={}", file("member.crt")),
            format!("--key-file={}", file("member.key")),
            format!("--trusted-ca-file={}", file("ca.crt")),
            "--client-cert-auth".to_owned(),
        ];
        etcd.ctl = vec![
            format!("--cacert={}", file("ca.crt")),
            format!("--cert={}", file("operator.crt")),
            format!("--key={}", file("operator.key")),
        ];
        etcd.run().await;
        Some(etcd)
    }

    fn new(count: usize, network: Option<Network>) -> Option<Etcd> {
        is_there().then_some(())?;
        let member = |place| {
            let [client, peer] = match &network {
                Some(network) => network.addresses(place),
                None => free_addresses(),
            };
            Member {
                client,
                peer,
                process: None,
            }
        };
        Some(Etcd {
            folder: tempfile::tempdir().unwrap(),
            members: (0..count).map(member).collect(),
            scheme: "http",
            options: Vec::new(),
            ctl: Vec::new(),
            network,
        })
    }

    /// The network that the members are in.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("members in a network")
    }

    /// Which member leads, as soon as one does.
    pub async fn leader(&self) -> usize {
        let leads = |place: usize| {
            let status = self.try_ctl(place, &["endpoint", "status", "-w", "json"])?;
            let status: Value = serde_json::from_str(&status).ok()?;
            let status = &status[0]["Status"];
            (status["leader"] == status["header"]["member_id"]).then_some(place)
        };
        eventually("a leader", || (0..self.members.len()).find_map(leads)).await
    }

    /// Wants a user from now on: `root` with this password, as whom `etcdctl` comes, too.
    pub fn want_user(&mut self, password: &str) {
        self.ctl(&["user", "add", &format!("root:{password}")]);
        self.ctl(&["user", "grant-role", "root", "root"]);
        self.ctl(&["auth", "enable"]);
        self.ctl.push(format!("--user=root:{password}"));
    }

    /// Runs all members that do not run, again perhaps, until they answer.
    pub async fn run(&mut self) {
        let peers = self.peers();
        for place in 0..self.members.len() {
            let arguments = self.arguments(place, &peers);
            let member = &mut self.members[place];
            if member.process.is_none() {
                let mut command = match &self.network {
                    Some(network) => network.command(),
                    None => Command::new("etcd"),
                };
                command.args(arguments).args(&self.options);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                member.process = Some(match &self.network {
                    Some(network) => network.spawn(place, command),
                    None => command.spawn().unwrap(),
                });
            }
        }
        for place in 0..self.members.len() {
            let answers = || self.try_ctl(place, &["get", "x"]);
            eventually("a member that answers", answers).await;
        }
    }

    fn arguments(&self, place: usize, peers: &str) -> [String; 8] {
        let member = &self.members[place];
        let (client, peer) = (self.url(member.client), member.peer());
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

    fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", self.scheme)
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

    /// Kills all members, and starts them anew with nothing.
    pub async fn wipe(&mut self) {
        self.kill();
        for place in 0..self.members.len() {
            std::fs::remove_dir_all(self.data(place)).unwrap();
        }
        self.run().await;
    }

    /// Where the first member is.
    pub fn address(&self) -> SocketAddr {
        self.members[0].client
    }

    /// Where the members are for clients.
    pub fn urls(&self) -> Vec<String> {
        let members = self.members.iter();
        members.map(|member| self.url(member.client)).collect()
    }

    /// A node of this name that keeps its objects there, with these further keys of `api`.
    pub async fn node(&self, name: &str, keys: &str) -> Api {
        self.node_with(Config::answering("hello"), name, keys).await
    }

    /// The same with this configuration.
    pub async fn node_with(&self, config: Config, name: &str, keys: &str) -> Api {
        node_at(&self.urls(), config, name, keys).await
    }

    /// The same while etcd does not answer it, and it knows of nothing.
    pub async fn unready_node(&self, config: Config, name: &str) -> Api {
        let [address] = free_addresses();
        let config = config_at(&self.urls(), config.api(address, ""), name);
        let edge = Edge::start_unready(&config).await;
        Api { edge, address }
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
        let endpoint = self.url(self.members[place].client);
        command.args(["--endpoints", &endpoint]).args(&self.ctl);
        command.args(arguments);
        let output = command.env("ETCDCTL_API", "3").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(said)
    }
}

/// Whether there is etcd; a word where there is not.
fn is_there() -> bool {
    let is_there = |program| Command::new(program).arg("--version").output().is_ok();
    let all = is_there("etcd") && is_there("etcdctl");
    if !all {
        eprintln!("skipped: no etcd on this machine (make etcd installs it)");
    }
    all
}

/// A node of this name that finds etcd at these URLs.
pub async fn node_at(endpoints: &[String], config: Config, name: &str, keys: &str) -> Api {
    let [address] = free_addresses();
    let config = config_at(endpoints, config.api(address, keys), name);
    let edge = Edge::start(&config).await;
    Api { edge, address }
}

/// The configuration of a node of this name, of which `api` has no store yet that is shared.
pub fn config_at(endpoints: &[String], config: Config, name: &str) -> Config {
    let urls: Vec<_> = endpoints.iter().map(|url| format!("'{url}'")).collect();
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
