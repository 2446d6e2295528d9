//! `culvert demo`: the whole road on one machine, without a configuration file.
//!
//! Two echo targets on free ports, a rule that serves a chat page and one that forwards the
//! WebSockets it opens. All of it is an ordinary configuration, `demo.yaml`, which is put into a
//! folder for as long as the demo runs, and an ordinary process that serves it: what a node can be
//! told, the demo can be told, an upgrade included.

mod processes;
mod targets;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use processes::Processes;
use targets::Targets;

const CONFIGURATION: &str = include_str!("demo.yaml");
const PAGE: &str = include_str!("chat.html");
const INSTRUCTIONS: &str = include_str!("instructions.txt");
/// Where it listens where nobody else does, and where it is shown.
const PORTS: [u16; 2] = [8080, 9900];

/// Runs the demo, at this port if one is said, until what serves has ended. An error is what the
/// operator reads.
pub fn run(port: Option<u16>) -> Result<(), String> {
    let [port, admin] = ports(port)?;
    let failed = |what: &str, error: io::Error| format!("demo: {what}: {error}");
    let targets = Targets::listen().map_err(|error| failed("no echo targets", error))?;
    let folder = tempfile::Builder::new().prefix("culvert-demo-").tempdir();
    let folder = folder.map_err(|error| failed("no folder for its configuration", error))?;
    let file = folder.path().join("culvert.yaml");
    let text = configuration(folder.path(), [port, admin], targets.ports());
    fs::write(&file, text).map_err(|error| failed(&file.display().to_string(), error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("no runtime", error))?;
    eprintln!("{}", instructions(&file, [port, admin]));
    runtime.block_on(async {
        targets
            .serve()
            .map_err(|error| failed("no echo targets", error))?;
        let processes = Processes::start(&file, pid_file(folder.path()));
        let mut processes = processes.map_err(|error| failed("no process to serve", error))?;
        processes
            .end()
            .await
            .map_err(|error| format!("demo: {error}"))
    })
}

/// The ports of the page and of the admin address: those that are known from the documents, or free
/// ones where these are taken.
fn ports(wanted: Option<u16>) -> Result<[u16; 2], String> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let taken = |port: u16, error| format!("demo: 127.0.0.1:{port}: {error}");
    let [usual, admin] = PORTS;
    let edge = match wanted {
        Some(port) => bind(port).map_err(|error| taken(port, error))?,
        None => bind(usual)
            .or_else(|_| bind(0))
            .map_err(|error| taken(usual, error))?,
    };
    // While the other is held.
    let admin = bind(admin)
        .or_else(|_| bind(0))
        .map_err(|error| taken(admin, error))?;
    let port = |socket: &TcpListener| socket.local_addr().map(|address| address.port());
    let ports = port(&edge).and_then(|edge| Ok([edge, port(&admin)?]));
    ports.map_err(|error| taken(usual, error))
}

fn pid_file(folder: &Path) -> std::path::PathBuf {
    folder.join("culvert.pid")
}

fn configuration(folder: &Path, [port, admin]: [u16; 2], targets: [u16; 2]) -> String {
    let [first, second] = targets;
    // A string of JSON is one of YAML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let page = PAGE.replace("{{status page}}", &format!("http://127.0.0.1:{admin}/"));
    CONFIGURATION
        .replace("{{port}}", &port.to_string())
        .replace("{{admin port}}", &admin.to_string())
        .replace("{{upgrade socket}}", &path(&folder.join("upgrade.sock")))
        .replace("{{pid file}}", &path(&pid_file(folder)))
        .replace("{{first target}}", &first.to_string())
        .replace("{{second target}}", &second.to_string())
        .replace("{{page}}", &quoted(&page))
}

fn instructions(file: &Path, [port, admin]: [u16; 2]) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "culvert".into());
    INSTRUCTIONS
        .replace("{{port}}", &port.to_string())
        .replace("{{admin port}}", &admin.to_string())
        .replace("{{culvert}}", &format!("{program} -c {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_configuration_of_the_demo_is_valid() {
        let text = configuration(Path::new("/tmp/a \"demo\""), [4709, 4710], [4711, 4712]);
        assert!(!text.contains("{{"), "{text}");
        let loaded = config::parse("demo", &text)
            .map_err(|problems| problems.to_string())
            .unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.target_groups[0].targets.len(), 2);
    }

    #[test]
    fn a_port_that_is_taken_is_another_one_unless_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = ports(Some(port)).unwrap_err();
        assert!(
            error.starts_with(&format!("demo: 127.0.0.1:{port}: ")),
            "{error}"
        );
        // Whether it is taken or not.
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, PORTS[0]));
        let [edge, admin] = ports(None).unwrap();
        assert!(edge != admin && (held.is_err() || edge != PORTS[0]));
    }
}
