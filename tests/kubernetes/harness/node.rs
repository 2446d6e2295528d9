//! A running Culvert that has its objects from a server.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::machine::{ANYCAST, Machine};
use super::server::SYSTEM;
use super::{PATIENCE, Server, Space, eventually, free_address};

/// A running Culvert. Dropping it kills it.
pub struct Node {
    server: Arc<Server>,
    /// What it is called among the processes of its server.
    process: String,
    admin: SocketAddr,
    machine: Option<Machine>,
}

impl Node {
    /// Starts one of this name, which gives out this address; it may not be ready yet.
    pub async fn start(space: &Space, name: &str, address: &str) -> Node {
        Node::start_with(space, name, address, "").await
    }

    /// The same with these further keys of `gateway`.
    pub async fn start_with(space: &Space, name: &str, address: &str, keys: &str) -> Node {
        Node::start_on(None, space, name, address, keys)
    }

    /// One on a machine of its own, at the address that all machines have.
    pub fn on(machine: Machine, space: &Space, name: &str) -> Node {
        Node::start_on(Some(machine), space, name, ANYCAST, "")
    }

    fn start_on(
        machine: Option<Machine>,
        space: &Space,
        name: &str,
        address: &str,
        keys: &str,
    ) -> Node {
        let node = Node {
            server: Arc::clone(&space.server),
            process: format!("{}-{name}", space.name),
            admin: free_address(),
            machine,
        };
        let kubeconfig = match &node.machine {
            Some(machine) => machine.kubeconfig.clone(),
            None => space.server.kubeconfig("culvert"),
        };
        let config = format!(
            "admin: {{listen: '{}'}}\ngateway:\n  controllerName: {}\n  addresses: [{address}]\n  \
             kubernetes: {{kubeconfig: {}, namespace: {SYSTEM}, node: {name}}}\n{keys}",
            node.admin,
            space.controller(),
            kubeconfig.display(),
        );
        fs::write(node.file("yaml"), config).unwrap();
        node.run();
        node
    }

    /// Starts it, again perhaps.
    pub fn run(&self) {
        let program = env!("CARGO_BIN_EXE_culvert");
        let mut command = match &self.machine {
            Some(machine) => machine.command(program),
            None => Command::new(program),
        };
        command.arg("-c").arg(self.file("yaml"));
        self.server.keeper.run(&self.process, &mut command);
    }

    /// Has the router lead to its machine.
    pub fn is_next(&self) {
        self.machine.as_ref().unwrap().is_next();
    }

    /// A file of its own.
    pub fn file(&self, end: &str) -> std::path::PathBuf {
        self.server.keeper.file(&format!("{}.{end}", self.process))
    }

    /// Kills it.
    pub fn kill(&self) {
        self.server.keeper.kill(&self.process);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.server.keeper.signal(&self.process, signal);
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        self.server.keeper.log(&self.process)
    }

    /// Waits until it is ready.
    pub async fn is_ready(&self) {
        let is_ready = async || {
            let answer = get(self.admin, "localhost", "/readyz").await?;
            answer.starts_with("HTTP/1.1 200 ").then_some(())
        };
        eventually("a node that is ready", is_ready).await;
    }

    /// The value of a metric, given as its whole name; `None` where there is none.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let answer = get(self.admin, "localhost", "/metrics").await?;
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value?.parse().ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.server.keeper.show(&self.process);
        }
        self.kill();
    }
}

/// The whole answer to a GET for a host; `None` where there is none.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        (!answer.is_empty()).then_some(answer)
    };
    timeout(PATIENCE, exchange).await.ok()?
}

/// Waits until a GET for a host is answered with this status.
pub async fn answers(address: SocketAddr, host: &str, status: u16) {
    let mut last = None;
    let is_it = async || {
        last = get(address, host, "/").await;
        let answer = last.as_deref().unwrap_or_default();
        answer
            .starts_with(&format!("HTTP/1.1 {status} "))
            .then_some(())
    };
    eventually(&format!("{status} from {address}"), is_it).await;
}

/// Where whoever comes to an address is sent.
pub async fn leads_to(address: SocketAddr) -> Option<String> {
    let answer = get(address, "a", "/").await?;
    let mut lines = answer.lines();
    lines.find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("location: ")
            .map(str::to_owned)
    })
}

/// The certificate that is shown to whoever asks for a host.
pub async fn certificate(address: SocketAddr, host: &'static str) -> Option<Vec<u8>> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.ok()?;
    let connector = TlsConnector::from(Arc::new(config));
    let host = ServerName::try_from(host).unwrap();
    let shaken = timeout(PATIENCE, connector.connect(host, stream))
        .await
        .ok()?;
    let (_, session) = shaken.as_ref().ok()?.get_ref();
    Some(session.peer_certificates()?.first()?.to_vec())
}

/// Trusts whatever is shown.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
