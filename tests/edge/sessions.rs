//! Sessions of TLS are resumed: at another process with the same keys, after an upgrade, and
//! nowhere else.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::harness::process::{run, without_positions};
use crate::harness::tls::{openssl, s_client_asking};
use crate::harness::{Authority, Config, Edge, Target, eventually};

const HOST: &str = "a.example";
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// A configuration with one certificate and these settings of `server`.
fn configuration(authority: &Authority, server: &str, target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .server(server)
        .tls(authority, &["one"])
}

/// An authority that has issued the certificate `one`.
fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    authority
}

/// Writes keys, as OpenSSL makes them, to a file of the authority's folder.
fn write_keys(authority: &Authority, keys: &[&str]) -> PathBuf {
    let path = authority.file("tickets");
    std::fs::write(&path, keys.concat()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn new_key() -> String {
    openssl(&["rand", "-base64", "32"])
}

/// A session of each version, as OpenSSL keeps it.
struct Sessions(Vec<PathBuf>);

impl Sessions {
    async fn begin(authority: &Authority, edge: &Edge) -> Sessions {
        let files = VERSIONS.map(|version| authority.file(&format!("session{version}")));
        for (version, file) in VERSIONS.iter().zip(&files) {
            let file = file.to_str().unwrap();
            let arguments = [version, "-servername", HOST, "-sess_out", file];
            let said = s_client_asking(edge.address, &arguments).await;
            assert!(said.contains("New, TLSv1."), "{said}");
        }
        Sessions(files.to_vec())
    }

    /// Whether they are resumed there, both or neither.
    async fn resume(&self, edge: &Edge) -> bool {
        let mut resumed = Vec::new();
        for (version, file) in VERSIONS.iter().zip(&self.0) {
            let file = file.to_str().unwrap();
            let arguments = [version, "-servername", HOST, "-sess_in", file];
            let said = s_client_asking(edge.address, &arguments).await;
            assert!(said.contains("HTTP/1.1 200"), "{said}");
            resumed.push(said.contains("Reused, TLSv1."));
        }
        assert_eq!(resumed[0], resumed[1]);
        resumed[0]
    }
}

#[tokio::test]
async fn a_session_is_resumed_by_another_process_with_the_same_key_file_and_by_no_other() {
    let (authority, target) = (authority(), Target::answering("hello").await);
    let keys = write_keys(&authority, &[&new_key()]);
    let with_keys = format!("sessionTicketKeyFile: {}", keys.display());
    let [one, other] = [with_keys.as_str(), with_keys.as_str()]
        .map(|server| configuration(&authority, server, &target));
    let [one, other] = [Edge::start(&one).await, Edge::start(&other).await];
    let stranger = Edge::start(&configuration(&authority, "", &target)).await;
    let sessions = Sessions::begin(&authority, &one).await;
    assert!(sessions.resume(&one).await);
    assert!(sessions.resume(&other).await);
    assert!(!sessions.resume(&stranger).await);
    let own = Sessions::begin(&authority, &stranger).await;
    assert!(own.resume(&stranger).await);
    assert!(!own.resume(&one).await);
}

#[tokio::test]
async fn a_session_from_before_an_upgrade_is_resumed_after_it() {
    let (authority, target) = (authority(), Target::answering("hello").await);
    let server = "upgradeSocket: FOLDER/culvert.sock, pidFile: FOLDER/culvert.pid";
    let edge = Edge::start(&configuration(&authority, server, &target)).await;
    let sessions = Sessions::begin(&authority, &edge).await;
    for _ in 0..2 {
        let path = edge.file();
        let arguments = ["-c", path.to_str().unwrap(), "upgrade"];
        let output = run(&arguments, edge.folder.path());
        assert!(output.status.success(), "{output:?}");
        let is_ready = || edge.admin_page("/readyz").contains(" 200 ").then_some(());
        eventually("the new process is ready", is_ready).await;
        assert!(sessions.resume(&edge).await);
    }
    let is_other = || edge.pid_in_file().filter(|pid| *pid != edge.id());
    eventually("the file names another process", is_other).await;
}

#[tokio::test]
async fn a_reload_takes_new_ticket_keys_and_refuses_bad_ones() {
    let (authority, target) = (authority(), Target::answering("hello").await);
    let [first, second] = [new_key(), new_key()];
    let keys = write_keys(&authority, &[&first]);
    let server = format!("sessionTicketKeyFile: {}", keys.display());
    let configuration = configuration(&authority, &server, &target);
    let edge = Edge::start(&configuration).await;
    let sessions = Sessions::begin(&authority, &edge).await;
    write_keys(&authority, &[&second, &first]);
    edge.reload(&configuration).await;
    assert!(sessions.resume(&edge).await);

    write_keys(&authority, &["secret\n"]);
    edge.signal("HUP");
    let rejected = "config_reloads_total{result=\"rejected\"}";
    let is_rejected = || (edge.metric(rejected) == 1.0).then_some(());
    eventually("it is rejected", is_rejected).await;
    assert!(sessions.resume(&edge).await);
    assert!(!edge.diagnostics().contains("secret"));

    write_keys(&authority, &[&second]);
    edge.reload(&configuration).await;
    assert!(!sessions.resume(&edge).await);
}

#[test]
fn what_is_wrong_with_a_file_of_ticket_keys_is_told_and_never_shown() {
    let authority = authority();
    let (key, short) = (new_key(), openssl(&["rand", "-base64", "31"]));
    let nine = [key.as_str(); 9].concat();
    for (text, mode, expected) in [
        (key.as_str(), 0o600, Ok("")),
        (&format!("\n{key}\n{key}"), 0o640, Ok("")),
        (
            &key,
            0o644,
            Ok("every user can read this file (mode 0644): "),
        ),
        ("\n \n", 0o600, Err("has no key")),
        (&nine, 0o600, Err("has more than 8 keys")),
        (&short, 0o600, Err("line 1 is no key: ")),
        (
            &format!("{key}{}", &key[1..]),
            0o600,
            Err("line 2 is no key: "),
        ),
        ("\u{e9}", 0o600, Err("line 1 is no key: ")),
    ] {
        let path = authority.file("tickets");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let file = authority.file("culvert.yaml");
        let configuration = Config::answering("")
            .server(&format!("sessionTicketKeyFile: {}", path.display()))
            .rule("listenerPort: 8080");
        std::fs::write(&file, configuration.to_string()).unwrap();
        let output = run(&["-t", "-c", file.to_str().unwrap()], Path::new("/"));
        let said = without_positions(&String::from_utf8(output.stderr).unwrap());
        let place = "server.sessionTicketKeyFile: ";
        let line = match expected {
            Ok("") => String::new(),
            Ok(warning) => format!("{}: warning: {place}{warning}", file.display()),
            Err(problem) => format!("{}: {place}{problem}", file.display()),
        };
        assert!(said.starts_with(&line), "{said}");
        assert_eq!(said.is_empty(), expected == Ok(""), "{said}");
        assert!(!said.contains(&key[..8]), "{said}");
        assert_eq!(output.status.success(), expected.is_ok(), "{said}");
    }
}
