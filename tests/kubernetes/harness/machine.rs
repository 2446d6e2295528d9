//! Machines: each is a network of its own with a way to the test's, from which it is reached at an
//! address that all machines have. A router, which is the test's network, leads to one of them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{Server, eventually};

/// The address that all machines have.
pub const ANYCAST: &str = "192.0.2.7";
/// What keeps a network while nothing else runs in it.
const KEEP: [&str; 4] = ["--net", "tail", "-f", "/dev/null"];

/// A machine, for as long as its server is there.
pub struct Machine {
    pid: String,
    /// Its own address.
    address: String,
    pub kubeconfig: PathBuf,
}

impl Machine {
    /// One of this number, which has no other machine's, with a way to the API server.
    pub async fn start(server: &Arc<Server>, number: u8) -> Machine {
        let name = format!("machine{number}");
        let mut keep = Command::new("unshare");
        server.keeper.run(&name, keep.args(KEEP));
        let pid = fs::read_to_string(server.keeper.file(&format!("{name}.pid"))).unwrap();
        let pid = pid.trim().to_owned();
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        eventually("a network of its own", async || {
            let own = network(&pid)?;
            (Some(own) != network("self")).then_some(())
        })
        .await;
        let (router, address) = (format!("10.98.{number}.1"), format!("10.98.{number}.2"));
        ip(&format!(
            "link add {name} type veth peer name wire netns {pid}"
        ));
        ip(&format!("address add {router}/24 dev {name}"));
        ip(&format!("link set {name} up"));
        let at = |arguments: &str| {
            let mut command = Command::new("nsenter");
            command.args(["--target", &pid, "--net", "ip"]);
            run(command.args(arguments.split(' ')));
        };
        at("link set lo up");
        at(&format!("address add {ANYCAST}/32 dev lo"));
        at(&format!("address add {address}/24 dev wire"));
        at("link set wire up");
        at(&format!("route add default via {router}"));
        let there = SocketAddr::new(router.parse().unwrap(), server.address.port());
        forward(there, server.address).await;
        Machine {
            kubeconfig: kubeconfig(server, &name, there),
            pid,
            address,
        }
    }

    /// A command that is run there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--net", program]);
        command
    }

    /// Has the router lead to this one.
    pub fn is_next(&self) {
        ip(&format!("route replace {ANYCAST}/32 via {}", self.address));
    }
}

/// Connections there lead to the server.
async fn forward(there: SocketAddr, server: SocketAddr) {
    let listener = TcpListener::bind(there).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut stream, &mut server).await
            });
        }
    });
}

fn kubeconfig(server: &Server, name: &str, there: SocketAddr) -> PathBuf {
    let text = fs::read_to_string(server.kubeconfig("culvert")).unwrap();
    let (at, now) = (
        format!("server: 'https://{}'", server.address),
        format!(
            "server: 'https://{there}', tls-server-name: '{}'",
            server.address.ip()
        ),
    );
    assert!(text.contains(&at), "{text}");
    let file = server.keeper.file(&format!("{name}.kubeconfig"));
    fs::write(&file, text.replace(&at, &now)).unwrap();
    file
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
