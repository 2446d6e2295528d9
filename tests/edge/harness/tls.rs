//! TLS for a test: an authority that issues certificates, the files in which Culvert finds them,
//! and a client that trusts it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

use super::target::{ok, switching_protocols};
use super::{Config, Connection, Edge, Target, soon};

/// A client's connection in TLS.
pub type Encrypted = Connection<TlsStream<TcpStream>>;

/// A target's connection in TLS.
pub type Answering = Connection<server::TlsStream<TcpStream>>;

/// Whom the certificate of [`start`] is for.
pub const HOST: &str = "a.example";
/// Whom the certificates of targets are for.
pub const TARGET_HOST: &str = "target.example";

/// An authority, and the folder with what it has issued.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    client: Arc<ClientConfig>,
}

impl Authority {
    /// A new one, whose own certificate is in its folder as `ca.crt`.
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Two of them are not taken for each other by their names.
        let name = format!("authority {}", folder.path().display());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.crt"), certificate.pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Authority {
            folder,
            issuer: Issuer::new(params, key),
            client: Arc::new(client),
        }
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues a certificate on P-256 for these hosts, good for long: `NAME.crt` and `NAME.key`.
    pub fn issue(&self, name: &str, hosts: &[&str]) {
        self.issue_for(name, hosts, &KeyPair::generate().unwrap(), 1000);
    }

    /// The same with an RSA key.
    pub fn issue_rsa(&self, name: &str, hosts: &[&str]) {
        let arguments = [
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ];
        let key = KeyPair::from_pem(&openssl(&arguments)).unwrap();
        self.issue_for(name, hosts, &key, 1000);
    }

    /// The same with this key, and this many days until it expires.
    pub fn issue_for(&self, name: &str, hosts: &[&str], key: &KeyPair, days: i64) {
        let (ids, hosts): (Vec<&str>, Vec<&str>) =
            hosts.iter().partition(|host| host.contains("://"));
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        let ids = ids
            .into_iter()
            .map(|id| SanType::URI(id.try_into().unwrap()));
        params.subject_alt_names.extend(ids);
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let expires = now.as_secs() as i64 + days * day.as_secs() as i64;
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(expires as u64);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// The chain and the key that were issued under this name.
    pub fn files(&self, name: &str) -> [PathBuf; 2] {
        ["crt", "key"].map(|end| self.file(&format!("{name}.{end}")))
    }

    /// Connects, asking for a host.
    pub async fn connect(&self, address: SocketAddr, host: &'static str) -> Encrypted {
        let socket = soon("connecting", TcpStream::connect(address)).await;
        let socket = socket.unwrap();
        socket.set_nodelay(true).unwrap();
        self.shake_hands(socket, host).await.unwrap()
    }

    /// Tries to shake hands on a connection, asking for a host.
    pub async fn shake_hands(
        &self,
        socket: TcpStream,
        host: &'static str,
    ) -> io::Result<Encrypted> {
        let host = ServerName::try_from(host).unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let shaken = soon("the TLS handshake", connector.connect(host, socket)).await;
        shaken.map(Connection::over)
    }

    /// Opens a tunnel, asking for a host.
    pub async fn tunnel(&self, address: SocketAddr, host: &'static str) -> Encrypted {
        let mut client = self.connect(address, host).await;
        client.upgrade("/chat").await;
        client
    }

    /// Opens a tunnel in this version of TLS, asking for a host.
    pub async fn tunnel_in(
        &self,
        version: &'static SupportedProtocolVersion,
        address: SocketAddr,
        host: &'static str,
    ) -> Encrypted {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.file("ca.crt")).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = soon("connecting", TcpStream::connect(address)).await;
        let connector = TlsConnector::from(Arc::new(config));
        let shaking = connector.connect(host.try_into().unwrap(), socket.unwrap());
        let mut client = Connection::over(soon("the TLS handshake", shaking).await.unwrap());
        client.upgrade("/chat").await;
        client
    }

    /// What shakes hands with the certificate that was issued under this name.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let [chain, key] = self.files(name);
        let chain = CertificateDer::from_pem_file(chain).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// A target that shakes hands with the certificate that was issued under this name, and leaves
    /// the rest to `script`.
    pub async fn target<F, S>(&self, name: &str, script: S) -> Target
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Answering) -> F + Send + Sync + 'static,
    {
        let (acceptor, script) = (self.acceptor(name), Arc::new(script));
        Target::scripted(move |connection: Connection| {
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            async move {
                // Whoever does not trust it breaks off.
                if let Ok(stream) = acceptor.accept(connection.stream).await {
                    script(Connection::over(stream)).await;
                }
            }
        })
        .await
    }

    /// Such a target that answers plain requests with "hello", and sends the messages of a tunnel
    /// back.
    pub async fn serving(&self, name: &str) -> Target {
        self.target(name, async |mut connection: Answering| {
            while connection.has_more().await {
                let head = connection.head().await;
                if head.contains("Upgrade") {
                    connection.send(switching_protocols(&head)).await;
                    return connection.echo_messages().await;
                }
                connection.send(ok("hello")).await;
            }
        })
        .await
    }

    /// The name of the certificate, of these, that a PEM text begins with.
    pub fn name_of<'a>(&self, pem: &str, names: &[&'a str]) -> Option<&'a str> {
        let der = |pem: &[u8]| rustls::pki_types::CertificateDer::from_pem_slice(pem).ok();
        let found = der(pem.as_bytes())?;
        let is_found = |name: &&&str| {
            let issued = std::fs::read(self.file(&format!("{name}.crt"))).unwrap();
            der(&issued).as_ref() == Some(&found)
        };
        names.iter().find(is_found).copied()
    }
}

/// What OpenSSL's command says to these arguments.
pub fn openssl(arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    let command = command.args(arguments).stdin(Stdio::null());
    let output = command.stderr(Stdio::piped()).output();
    let output = output.expect("openssl is there: `make test` installs it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `openssl s_client` says, and is answered to a GET, to these arguments.
pub async fn s_client_asking(address: SocketAddr, arguments: &[&str]) -> String {
    let address = address.to_string();
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address]);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended by itself.
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stdin.write_all(request).await.ok();
    let output = soon("the end of s_client", child.wait_with_output()).await;
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}

/// What `openssl s_client` says, after a handshake or without one, to these arguments.
pub async fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let address = address.to_string();
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-connect", &address]);
    command.args(arguments).stdin(Stdio::null());
    let output = soon("the end of s_client", command.kill_on_drop(true).output()).await;
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}

/// A configuration that forwards everything to a target, with these certificates of the authority
/// and these settings of the rule.
pub fn forwarding(
    authority: &Authority,
    names: &[&str],
    settings: &str,
    target: SocketAddr,
) -> Config {
    let config = Config::forwarding_to(&[target]).tls(authority, names);
    config.rule(settings)
}

/// A Culvert with one certificate, for [`HOST`].
pub async fn start(authority: &Authority, settings: &str, target: &Target) -> Edge {
    authority.issue("one", &[HOST]);
    Edge::start(&forwarding(authority, &["one"], settings, target.address)).await
}

/// A configuration that forwards everything to these targets over TLS, with these further keys of
/// their group.
pub fn over_tls(keys: &str, targets: &[SocketAddr]) -> Config {
    Config::forwarding_to(targets)
        .group("protocol: HTTPS")
        .group(keys)
}

/// The keys to trust an authority's certificates for [`TARGET_HOST`].
pub fn trusting(authority: &Authority) -> String {
    let file = authority.file("ca.crt");
    format!("caFile: {}, serverName: {TARGET_HOST}", file.display())
}
