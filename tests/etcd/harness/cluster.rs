//! Members of etcd that form a cluster: processes that a test starts, kills, stops and lets go on.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use culvert::etcd::{Client, Endpoint, Settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Network, eventually, free_addresses};

/// How much of what a member said is shown where a test fails.
const SHOWN: usize = 15;

/// Members that form a cluster. Dropping it kills them.
pub struct Cluster {
    folder: TempDir,
    members: Vec<Member>,
    network: Option<Network>,
    scheme: &'static str,
    options: Vec<String>,
}

struct Member {
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
}

impl Cluster {
    /// So many members, once they answer; `None`, with a word, where there is no etcd.
    pub async fn start(count: usize) -> Option<Cluster> {
        Cluster::with(count, &[]).await
    }

    /// The same, started with these options too.
    pub async fn with(count: usize, options: &[&str]) -> Option<Cluster> {
        let mut cluster = Cluster::new(count, "http", options, None)?;
        cluster.start_all();
        cluster.answers().await;
        Some(cluster)
    }

    /// One member in TLS, started with these options too, whether or not it answers yet.
    pub fn encrypted(options: &[&str]) -> Option<Cluster> {
        let mut cluster = Cluster::new(1, "https", options, None)?;
        cluster.start_all();
        Some(cluster)
    }

    /// Three members in a network in which some can be cut off. The test has its name run it
    /// again inside of that, and has nothing to do outside.
    pub async fn inside(test: &str) -> Option<Cluster> {
        has_etcd().then_some(())?;
        let network = Network::enter(test)?;
        let mut cluster = Cluster::new(3, "http", &[], Some(network))?;
        cluster.start_all();
        cluster.answers().await;
        Some(cluster)
    }

    fn new(
        count: usize,
        scheme: &'static str,
        options: &[&str],
        network: Option<Network>,
    ) -> Option<Cluster> {
        has_etcd().then_some(())?;
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
        let members = (0..count).map(member).collect();
        Some(Cluster {
            folder: tempfile::tempdir().unwrap(),
            members,
            network,
            scheme,
            options: options.iter().map(|&option| option.to_owned()).collect(),
        })
    }

    fn start_all(&mut self) {
        (0..self.members.len()).for_each(|place| self.run(place));
    }

    /// Waits until it answers.
    pub async fn answers(&self) {
        let client = self.client();
        let check = async || client.range(b"", None).await.ok();
        eventually("a cluster that answers", check).await;
    }

    /// Starts a member, again perhaps.
    pub fn run(&mut self, place: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(place));
        let arguments = self.arguments(place);
        let mut command = match &self.network {
            Some(network) => network.command(),
            None => Command::new("etcd"),
        };
        let log = log.unwrap();
        command.args(arguments).stderr(log.try_clone().unwrap());
        let process = match &self.network {
            Some(network) => network.spawn(place, command),
            None => command.stdin(Stdio::null()).stdout(log).spawn().unwrap(),
        };
        self.members[place].process = Some(process);
    }

    fn arguments(&self, place: usize) -> Vec<String> {
        let member = &self.members[place];
        let client = format!("{}://{}", self.scheme, member.client);
        let peer = format!("http://{}", member.peer);
        let mut arguments = vec![
            format!("--name=m{place}"),
            format!("--data-dir={}", self.data(place).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}", self.peers()),
            "--logger=zap".to_owned(),
        ];
        arguments.extend_from_slice(&self.options);
        arguments
    }

    fn peers(&self) -> String {
        let members = self.members.iter().enumerate();
        let peers = members.map(|(place, member)| format!("m{place}=http://{}", member.peer));
        peers.collect::<Vec<_>>().join(",")
    }

    /// Where a member keeps its data.
    fn data(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("m{place}"))
    }

    fn log(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("m{place}.log"))
    }

    /// The network that it is in.
    pub fn network(&self) -> &Network {
        self.network.as_ref().unwrap()
    }

    /// A file for whatever a test needs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a member is asked.
    pub fn endpoint(&self, place: usize) -> Endpoint {
        let url = format!("{}://{}", self.scheme, self.members[place].client);
        url.parse().unwrap()
    }

    /// Settings for a client of all members, with no time to lose.
    pub fn settings(&self) -> Settings {
        let places = 0..self.members.len();
        Settings::new(places.map(|place| self.endpoint(place)).collect())
    }

    /// A client of all members.
    pub fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }

    /// Kills a member.
    pub fn kill(&mut self, place: usize) {
        if let Some(mut process) = self.members[place].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops a member where it stands, or lets it go on.
    pub fn signal(&self, place: usize, signal: Signal) {
        let process = self.members[place].process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// What `etcdctl` says at the first member; it must go well.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.ctl_at(0, arguments)
    }

    fn ctl_at(&self, place: usize, arguments: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        let endpoint = self.endpoint(place).to_string();
        command.args(["--endpoints", &endpoint]).args(arguments);
        let output = command.env("ETCDCTL_API", "3").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Compacts all before a revision, at the first member that runs.
    pub fn compact(&self, revision: i64) {
        let runs = |place: &usize| self.members[*place].process.is_some();
        let place = (0..self.members.len()).find(runs).unwrap();
        self.ctl_at(place, &["compaction", &revision.to_string()]);
    }

    /// How many requests of a kind the first member has met, by its metrics.
    pub async fn figure(&self, label: &str) -> String {
        let mut stream = TcpStream::connect(self.members[0].client).await.unwrap();
        let request = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let is_it =
            |line: &&str| line.contains("grpc_server_started_total") && line.contains(label);
        let line = answer.lines().find(is_it).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    /// Which member leads.
    pub async fn leader(&self) -> usize {
        let leads = |place: &usize| {
            let status = self.ctl_at(*place, &["endpoint", "status", "-w", "json"]);
            let status: Value = serde_json::from_str(&status).unwrap();
            let status = &status[0]["Status"];
            status["leader"] == status["header"]["member_id"]
        };
        let check = async || (0..self.members.len()).find(leads);
        eventually("a leader", check).await
    }

    /// Kills all members, and starts them anew with what is in this snapshot.
    pub async fn restore(&mut self, snapshot: &Path) {
        for place in 0..self.members.len() {
            self.kill(place);
            fs::remove_dir_all(self.data(place)).unwrap();
            let member = &self.members[place];
            self.ctl(&[
                "snapshot",
                "restore",
                snapshot.to_str().unwrap(),
                &format!("--name=m{place}"),
                &format!("--data-dir={}", self.data(place).display()),
                &format!("--initial-advertise-peer-urls=http://{}", member.peer),
                &format!("--initial-cluster={}", self.peers()),
            ]);
        }
        self.start_all();
        self.answers().await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for place in 0..self.members.len() {
            self.kill(place);
            if std::thread::panicking() {
                let log = fs::read_to_string(self.log(place)).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(SHOWN)..];
                eprintln!("m{place} said:\n{}", last.join("\n"));
            }
        }
    }
}

/// Whether there is etcd to be tested with; a word where there is not.
fn has_etcd() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_there = |program: &&str| folders.iter().any(|folder| folder.join(program).is_file());
    let missing = ["etcd", "etcdctl"]
        .iter()
        .find(|program| !is_there(program));
    if let Some(program) = missing {
        eprintln!("skipped: no {program} on this machine (make etcd installs it)");
    }
    missing.is_none()
}
