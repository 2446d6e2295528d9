//! Other clients of ACME beside Culvert: what the pages say of certbot, of a hook, and of rights
//! that are wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::docs::{page, swap};
use crate::harness::pebble::{Pebble, shown};
use crate::harness::ports::free_address;
use crate::harness::{Authority, Config, Edge, Process, Target, eventually, soon};

const NAME: &str = "chat.example.com";

/// Whatever serves the files of a folder, as the page has it.
struct WebServer(Child);

impl WebServer {
    fn start(folder: &Path) -> (WebServer, std::net::SocketAddr) {
        let address = free_address();
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "-b", "127.0.0.1", "-d"]);
        command.arg(folder).arg(address.port().to_string());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        (WebServer(command.spawn().unwrap()), address)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// certbot, from where the tests have their Python or from this machine.
fn certbot() -> Option<PathBuf> {
    let python = std::env::var("CULVERT_TEST_PYTHON").ok();
    let own = python.map(|python| Path::new(&python).with_file_name("certbot"));
    let own = own.filter(|path| path.exists());
    let found = own.unwrap_or_else(|| "certbot".into());
    let is_there = Command::new(&found).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: no certbot (make edge installs it)");
    }
    is_there.then_some(found)
}

/// The hook of the guide, which copies to this folder; whose they are is the service's business.
fn hook(folder: &Path, to: &Path) -> PathBuf {
    let blocks = page("docs/guide.md").blocks();
    let is_hook = |text: &str| text.contains("culvert-certificates\nset -e");
    let block = blocks.iter().find(|block| is_hook(&block.text)).unwrap();
    let script = swap(
        &block.text,
        "/etc/culvert/certificates",
        to.to_str().unwrap(),
    );
    let script = script.replace(" -o root -g culvert", "");
    let path = folder.join("culvert-certificates");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn certbot_with_a_folder_gets_past_the_redirect_and_its_hook_has_the_certificate_served() {
    let (Some(certbot), Some(pebble)) = (certbot(), Pebble::start_leniently().await) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("webroot")).unwrap();
    let (_server, webroot) = WebServer::start(&at("webroot"));
    let target = Target::answering("hello").await;
    // What was issued before, by somebody else.
    let authority = Authority::new();
    authority.issue("before", &[NAME]);
    let live = at("certificates").join(NAME);
    fs::create_dir_all(&live).unwrap();
    for (end, name) in [("crt", "fullchain.pem"), ("key", "privkey.pem")] {
        fs::copy(authority.file(&format!("before.{end}")), live.join(name)).unwrap();
    }
    let plain = page("docs/certificates.md").block("Other clients of ACME", "yaml");
    let plain = swap(&plain, "listenerIp: 0.0.0.0", "listenerIp: 127.0.0.1");
    let port = format!("listenerPort: {}", pebble.http.port());
    let plain = swap(&plain, "listenerPort: 80", &port);
    let port = format!("port: {}", webroot.port());
    let plain = swap(&plain, "port: 8888", &port);
    let wss = Config::forwarding_to(&[target.address])
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .top(&format!(
            "certificates: [{{name: chat, certificateChain: {0}/fullchain.pem, \
             privateKey: {0}/privkey.pem}}]",
            live.display()
        ));
    let mut all: serde_yaml::Value = serde_yaml::from_str(&wss.to_string()).unwrap();
    let page: serde_yaml::Value = serde_yaml::from_str(&plain).unwrap();
    for key in ["forwardingRules", "targetGroups"] {
        let more = page[key].as_sequence().unwrap().clone();
        all[key].as_sequence_mut().unwrap().extend(more);
    }
    let edge = Edge::start(&serde_yaml::to_string(&all).unwrap()).await;
    let mut command = tokio::process::Command::new(certbot);
    command.args(["certonly", "--webroot", "-d", NAME, "-n", "--agree-tos"]);
    command.args([
        "-m",
        "ops@example.com",
        "--no-eff-email",
        "--server",
        &pebble.url(),
    ]);
    for (option, value) in [
        ("-w", at("webroot")),
        ("--config-dir", at("config")),
        ("--work-dir", at("work")),
        ("--logs-dir", at("logs")),
        ("--deploy-hook", hook(folder.path(), &at("certificates"))),
    ] {
        command.arg(option).arg(value);
    }
    command.env("REQUESTS_CA_BUNDLE", pebble.ca_file());
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    pebble.is_served(edge.address, NAME).await;
    assert_eq!(edge.errors_about("Permission denied"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_with_the_wrong_rights_is_told_and_the_certificate_before_goes_on() {
    let authority = Authority::new();
    for (name, host) in [("before", "before.example"), ("after", "after.example")] {
        authority.issue(name, &[NAME, host]);
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for end in ["crt", "key"] {
        fs::copy(authority.file(&format!("before.{end}")), at(end)).unwrap();
    }
    let config = Config::answering("hello")
        .rule("protocol: HTTPS, serverCertificates: [chat]")
        .top(&format!(
            "certificates: [{{name: chat, certificateChain: {0}/crt, privateKey: {0}/key}}]",
            folder.path().display()
        ));
    let edge = Edge::start_by(&config, Process::start_without_privileges).await;
    let is_served = async |host: &str| {
        soon("a certificate is served", async {
            while !shown(edge.address, NAME).await.contains(host) {}
        })
        .await;
    };
    is_served("before.example").await;
    let new = at("key.new");
    fs::copy(authority.file("after.key"), &new).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o000)).unwrap();
    fs::rename(new, at("key")).unwrap();
    fs::copy(authority.file("after.crt"), at("crt")).unwrap();
    let line = eventually("the rights are told", || {
        let said = edge.diagnostics();
        let line = said.lines().find(|line| line.contains("Permission denied"));
        line.map(str::to_owned)
    });
    let line = line.await;
    assert!(line.contains(at("key").to_str().unwrap()), "{line}");
    assert!(line.contains("stays in use"), "{line}");
    is_served("before.example").await;
    fs::set_permissions(at("key"), fs::Permissions::from_mode(0o640)).unwrap();
    is_served("after.example").await;
}
