//! How long it takes until a write at one of three nodes, which share three members of etcd, serves
//! at all of them: until its request is DONE, which each node has said by its lease.
//!
//! All of it runs on this machine, so the network costs nothing, and six processes share its cores.
//! It should take at most 200 ms.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const COUNT: usize = 3;
const WRITES: usize = 300;
const TARGETS: usize = 100;
/// How long a start may take, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Processes that end with this.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

fn main() -> io::Result<()> {
    if Command::new("etcd").arg("--version").output().is_err() {
        println!("skipped: no etcd on this machine");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut processes = Processes(Vec::new());
    let members = start_members(folder.path(), &mut processes)?;
    let nodes = start_nodes(folder.path(), &members, &mut processes)?;
    let path = group_at(nodes[0])?;
    for node in &nodes {
        until(|| ask(*node, "GET", &path, "").is_ok_and(|(status, _)| status == 200))?;
    }
    let mut times = Vec::new();
    for number in 0..WRITES {
        times.push(write(nodes[number % COUNT], &path, number)?);
    }
    times.sort_unstable();
    println!(
        "a write at one of {COUNT} nodes serves at all of them after {:.1?} (median), {:.1?} (99 %), \
         {:.1?} (longest of {WRITES}); goal: 200 ms",
        times[WRITES / 2],
        times[WRITES * 99 / 100],
        times[WRITES - 1]
    );
    Ok(())
}

/// How long a write takes until it is DONE.
fn write(node: SocketAddr, path: &str, number: usize) -> io::Result<Duration> {
    let body = json!({"targets": targets(number)}).to_string();
    let began = Instant::now();
    let (status, answer) = ask(node, "PATCH", path, &body)?;
    if status != 202 {
        return Err(io::Error::other(answer));
    }
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let location = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("location:"));
    let request = location.and_then(|line| line.find("/cloudapi").map(|at| &line[at..]));
    let request = request.ok_or_else(|| io::Error::other("no Location"))?;
    loop {
        let (_, status) = ask(node, "GET", request, "")?;
        match body_of(&status)["metadata"]["status"].as_str() {
            Some("DONE") => return Ok(began.elapsed()),
            Some("RUNNING") => {}
            _ => return Err(io::Error::other(status)),
        }
    }
}

fn start_members(folder: &Path, processes: &mut Processes) -> io::Result<Vec<SocketAddr>> {
    let addresses = free_addresses(2 * COUNT)?;
    let (clients, peers) = addresses.split_at(COUNT);
    let named = |(place, peer): (usize, &SocketAddr)| format!("m{place}=http://{peer}");
    let all: Vec<String> = peers.iter().enumerate().map(named).collect();
    for (place, (client, peer)) in clients.iter().zip(peers).enumerate() {
        let mut command = Command::new("etcd");
        command.args([
            format!("--name=m{place}"),
            format!("--data-dir={}", folder.join(format!("m{place}")).display()),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster={}", all.join(",")),
        ]);
        processes.0.push(quiet(&mut command).spawn()?);
    }
    Ok(clients.to_vec())
}

fn start_nodes(
    folder: &Path,
    members: &[SocketAddr],
    processes: &mut Processes,
) -> io::Result<Vec<SocketAddr>> {
    let endpoints: Vec<String> = members
        .iter()
        .map(|one| format!("'http://{one}'"))
        .collect();
    let addresses = free_addresses(COUNT)?;
    for (place, address) in addresses.iter().enumerate() {
        let own = folder.join(format!("n{place}"));
        std::fs::create_dir(&own)?;
        let (own, endpoints) = (own.display(), endpoints.join(", "));
        let text = format!(
            "{{admin: {{listen: 'unix:{own}/admin'}}, accessLog: {{path: '{own}/log'}},
            api: {{listen: '{address}', store: {{type: ETCD, path: '{own}/store', node: n{place},
            endpoints: [{endpoints}]}}}}}}"
        );
        let file = format!("{own}/culvert.yaml");
        std::fs::write(&file, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert"));
        processes
            .0
            .push(quiet(command.args(["-c", &file])).spawn()?);
        until(|| ask(*address, "GET", "/cloudapi/v6", "").is_ok())?;
    }
    Ok(addresses)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

/// Makes a target group, as soon as that can be done; returns its path.
fn group_at(node: SocketAddr) -> io::Result<String> {
    let body = json!({
        "name": "group", "algorithm": "ROUND_ROBIN", "protocol": "HTTP", "targets": targets(0),
    });
    let mut path = None;
    until(|| {
        let made = ask(node, "POST", "/cloudapi/v6/targetgroups", &body.to_string());
        let id = made.ok().filter(|(status, _)| *status == 202);
        let id = id.and_then(|(_, answer)| body_of(&answer)["id"].as_str().map(str::to_owned));
        path = id.map(|id| format!("/cloudapi/v6/targetgroups/{id}"));
        path.is_some()
    })?;
    path.ok_or_else(|| io::Error::other("no group"))
}

fn targets(number: usize) -> Vec<Value> {
    let target = |place: usize| {
        let weight = if place == 0 { number % 200 + 1 } else { 1 };
        let ip = format!("10.0.0.{}", place + 1);
        json!({"ip": ip, "port": 80, "weight": weight, "healthCheckEnabled": false})
    };
    (0..TARGETS).map(target).collect()
}

/// Addresses that nobody has now.
fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    held.iter().map(TcpListener::local_addr).collect()
}

fn until(mut holds: impl FnMut() -> bool) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            return Err(io::Error::other("it takes too long to start"));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The status and the whole answer, on a connection of its own.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_default(), answer))
}

fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    serde_json::from_str(body).unwrap_or_default()
}
