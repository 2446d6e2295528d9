//! TLS towards targets: what a group trusts, and the handshake with one of its targets.
//!
//! Tunnels shake hands here. Plain requests leave that to Pingora, which pools their connections; it is told the same. Its pool
//! does not tell one set of authorities from another, so each has a key of its own.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::Arc;

use pingora::prelude::HttpPeer;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::Scheme;
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::unverified::Unverified;
use crate::config::file;

/// All that speak HTTP/1.1: a tunnel begins with that.
const ALPN: &[u8] = b"http/1.1";
/// Sets the keys of the pool apart from those of connections that belong to one request.
const POOLED: u64 = 1 << 63;

/// What the connections of a group rest on. Immutable: a reload makes another.
pub(super) struct Trust {
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
    verifies: bool,
    /// Pingora's form of the authorities; `None` for the system's, which it has.
    authorities: Option<Arc<CaType>>,
    /// The same for the same settings.
    key: u64,
}

/// TLS to one target.
pub struct Tls {
    trust: Arc<Trust>,
    /// What its certificate must be for. An address is not sent: only hosts are asked for (RFC 6066 section 3).
    name: ServerName<'static>,
    text: String,
}

impl Trust {
    /// What the configuration says. The configuration has been checked; an error says what rustls does not take.
    pub(super) fn build(tls: &file::TargetTls) -> Result<Self, String> {
        let config = config(tls).map_err(|error| error.to_string())?;
        Ok(Trust {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: tls.server_name.clone().map(ServerName::DnsName),
            verifies: tls.verify_certificate,
            authorities: tls.authorities.as_deref().map(wrapped),
            key: key(tls),
        })
    }
}

impl Tls {
    pub(super) fn build(trust: &Arc<Trust>, target: &file::Target) -> Self {
        let named = || ServerName::try_from(target.host.as_deref()?.to_owned()).ok();
        let name = trust.server_name.clone().or_else(named);
        let name = name.unwrap_or_else(|| ServerName::IpAddress(target.address.ip().into()));
        Tls {
            trust: Arc::clone(trust),
            text: name.to_str().into_owned(),
            name,
        }
    }

    /// Shakes hands, for HTTP/1.1.
    pub async fn connect(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = &self.trust.connector;
        connector.connect(self.name.clone(), socket).await
    }

    /// The host that it is asked for, if it is.
    pub(super) fn host(&self) -> Option<&str> {
        match self.name {
            ServerName::DnsName(_) => Some(&self.text),
            _ => None,
        }
    }

    /// Keeps connections apart that rest on other settings, where Pingora shakes no hands.
    pub(super) fn tell_apart(&self, peer: &mut HttpPeer) {
        peer.sni.clone_from(&self.text);
        peer.group_key = self.trust.key;
    }

    /// Has Pingora shake hands. Without a name it would verify nothing.
    pub(super) fn require(&self, peer: &mut HttpPeer) {
        peer.scheme = Scheme::HTTPS;
        peer.sni.clone_from(&self.text);
        peer.group_key = self.trust.key;
        peer.options.verify_cert = self.trust.verifies;
        peer.options.verify_hostname = self.trust.verifies;
        peer.options.ca.clone_from(&self.trust.authorities);
    }
}

fn config(tls: &file::TargetTls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.verify_certificate {
        true => {
            let roots = Arc::clone(&tls.roots);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            let verifier = verifier.build();
            verifier.map_err(|error| Error::General(error.to_string()))?
        }
        false => Arc::new(Unverified(provider.signature_verification_algorithms)),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn wrapped(authorities: &[CertificateDer]) -> Arc<CaType> {
    let wrap = |one: &CertificateDer| WrappedX509::new(one.to_vec(), parse_x509);
    authorities.iter().map(wrap).collect()
}

fn key(tls: &file::TargetTls) -> u64 {
    let mut hasher = DefaultHasher::new();
    tls.server_name.hash(&mut hasher);
    tls.verify_certificate.hash(&mut hasher);
    for authority in tls.authorities.iter().flatten() {
        authority.hash(&mut hasher);
    }
    hasher.finish() | POOLED
}
