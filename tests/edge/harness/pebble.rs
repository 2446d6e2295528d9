//! Pebble, a directory of ACME that issues certificates to whoever answers its challenges, and
//! makes it no easier than it has to be; every name is 127.0.0.1 to it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ports::free_addresses;
use super::tls::{openssl, s_client};
use super::{Authority, Edge, eventually, soon};

/// The accounts that are there already where one is wanted: an id, and a key.
const ACCOUNT: (&str, &str) = (
    "kid-1",
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
);

/// A directory. Dropping it kills it.
pub struct Pebble {
    /// Where it asks for HTTP-01.
    pub http: SocketAddr,
    /// Where it asks for TLS-ALPN-01.
    pub tls: SocketAddr,
    /// Where records of its DNS are made.
    pub records: SocketAddr,
    folder: TempDir,
    authority: Authority,
    directory: SocketAddr,
    management: SocketAddr,
    processes: Vec<Child>,
}

impl Pebble {
    /// One that turns many requests away for their nonces; `None`, with a word, where there is no
    /// Pebble.
    pub async fn start() -> Option<Pebble> {
        Pebble::with(&[("PEBBLE_WFE_NONCEREJECT", "50")], &json!({})).await
    }

    /// One that turns few requests away, for clients that give up early.
    pub async fn start_leniently() -> Option<Pebble> {
        Pebble::with(&[("PEBBLE_WFE_NONCEREJECT", "0")], &json!({})).await
    }

    /// One whose accounts must be known before, with its key in the file of [`Pebble::key_file`].
    pub async fn for_known_accounts() -> Option<Pebble> {
        let (id, key) = ACCOUNT;
        let known = json!({
            "externalAccountBindingRequired": true, "externalAccountMACKeys": {id: key},
        });
        let pebble = Pebble::with(&[], &known).await?;
        std::fs::write(pebble.folder.path().join("key"), format!("{key}\n")).unwrap();
        Some(pebble)
    }

    /// One with this environment and these further settings.
    pub async fn with(environment: &[(&str, &str)], settings: &Value) -> Option<Pebble> {
        is_there().then_some(())?;
        let [directory, management, dns, records, http, tls] = free_addresses();
        let authority = Authority::new();
        authority.issue("pebble", &["localhost"]);
        let mut pebble = Pebble {
            http,
            tls,
            records,
            folder: tempfile::tempdir().unwrap(),
            authority,
            directory,
            management,
            processes: Vec::new(),
        };
        let dns = dns.to_string();
        let mut command = Command::new("pebble-challtestsrv");
        command.args([
            "-defaultIPv6",
            "",
            "-dns01",
            &dns,
            "-http01",
            "",
            "-https01",
            "",
        ]);
        command.args(["-tlsalpn01", "", "-management", &records.to_string()]);
        pebble.run(&mut command);
        let [certificate, key] = pebble.authority.files("pebble");
        let mut all = json!({
            "listenAddress": directory, "managementListenAddress": management,
            "certificate": certificate, "privateKey": key, "ocspResponderURL": "",
            "httpPort": http.port(), "tlsPort": tls.port(),
            "externalAccountBindingRequired": false,
        });
        let further = settings.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(further);
        let file = pebble.folder.path().join("pebble.json");
        std::fs::write(&file, json!({"pebble": all}).to_string()).unwrap();
        let mut command = Command::new(program());
        command.args(["-config", file.to_str().unwrap(), "-dnsserver", &dns]);
        command.env("PEBBLE_VA_NOSLEEP", "1");
        pebble.run(command.envs(environment.iter().copied()));
        for address in [directory, records] {
            let listens = || std::net::TcpStream::connect(address).ok();
            eventually("pebble listens", listens).await;
        }
        Some(pebble)
    }

    fn run(&mut self, command: &mut Command) {
        let command = command.stdin(Stdio::null());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(command.spawn().unwrap());
    }

    /// An entry of `certificates`, called `chat`, for these names and with these further keys of
    /// `acme`; its state is in the folder `acme` of the process.
    pub fn certificate(&self, names: &[&str], keys: &str) -> String {
        let (names, port) = (names.join("', '"), self.directory.port());
        let ca_file = self.authority.file("ca.crt");
        format!(
            "certificates: [{{name: chat, acme: {{names: ['{names}'], \
             directory: 'https://localhost:{port}/dir', caFile: {}, \
             contact: ['mailto:ops@example.com'], stateDirectory: FOLDER/acme, {keys}}}}}]",
            ca_file.display()
        )
    }

    /// The keys for the account that is known before.
    pub fn account(&self) -> String {
        let (id, file) = (ACCOUNT.0, self.folder.path().join("key"));
        format!(
            "externalAccountBinding: {{keyId: {id}, keyFile: {}}}",
            file.display()
        )
    }

    /// Ends it.
    pub fn stop(&mut self) {
        for mut process in self.processes.drain(..) {
            process.kill().ok();
            process.wait().ok();
        }
    }

    /// Whether it knows of renewals (RFC 9773), which older ones do not.
    pub fn says_when_to_renew(&self) -> bool {
        let says = self.curl(&[&self.url()]).contains("renewalInfo");
        if !says {
            eprintln!("skipped: this pebble is too old (CULVERT_TEST_PEBBLE=PATH of a newer one)");
        }
        says
    }

    /// Says from now on that a certificate should have been renewed long ago.
    pub fn wants_renewed(&self, pem: &str) {
        let (_, certificate) = pem.split_once("-----BEGIN CERTIFICATE").unwrap();
        let (certificate, _) = certificate.split_once("-----END CERTIFICATE-----").unwrap();
        let window = json!({"start": "2001-02-03T04:05:06Z", "end": "2001-02-03T04:05:06Z"});
        let told = json!({
            "certificate":
                format!("-----BEGIN CERTIFICATE{certificate}-----END CERTIFICATE-----\n"),
            "ariResponse": json!({"suggestedWindow": window}).to_string(),
        });
        let url = format!(
            "https://localhost:{}/set-renewal-info/",
            self.management.port()
        );
        self.curl(&["-f", "-d", &told.to_string(), &url]);
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["-sS", "--cacert"]).arg(self.ca_file());
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The process's own certificate and the authority that vouches for it, for other clients.
    pub fn ca_file(&self) -> std::path::PathBuf {
        self.authority.file("ca.crt")
    }

    /// The directory's URL.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.directory.port())
    }

    /// Waits until a certificate of this directory is served for a name; returns its serial number
    /// and its names.
    pub async fn is_served(&self, address: SocketAddr, name: &str) -> String {
        let is_served = async {
            loop {
                let shown = shown(address, name).await;
                if shown.contains("Pebble Intermediate") {
                    return shown;
                }
            }
        };
        soon("a certificate of Pebble is served", is_served).await
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Who issued the certificate that is served for a name, its serial number and its names.
pub async fn shown(address: SocketAddr, name: &str) -> String {
    let pem = s_client(address, &["-servername", name]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pem");
    std::fs::write(&file, pem).unwrap();
    let file = file.to_str().unwrap();
    let what = ["-noout", "-issuer", "-serial", "-ext", "subjectAltName"];
    openssl(&[&["x509", "-in", file][..], &what].concat())
}

/// How far the certificate `chat` is.
pub fn progress(edge: &Edge) -> Value {
    let all = super::admin::get(edge, "/api/v1/certificates");
    all["items"][0].clone()
}

fn program() -> String {
    std::env::var("CULVERT_TEST_PEBBLE").unwrap_or_else(|_| "pebble".to_owned())
}

fn is_there() -> bool {
    let is_there = |program: &str| Command::new(program).arg("-h").output().is_ok();
    let all = is_there(&program()) && is_there("pebble-challtestsrv");
    if !all {
        eprintln!("skipped: no pebble on this machine (make edge installs it)");
    }
    all
}
