//! TLS towards targets: what a group trusts, and the handshake with one of its targets.
//!
//! All shake hands here, below what Pingora sees. What is trusted is a part of the key under which
//! connections wait for the next request.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::Arc;

use pingora::prelude::HttpPeer;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::anchored::Anchored;
use super::unverified::Unverified;
use crate::config::model;
use crate::stream::TlsStream;
use crate::target_address::TargetAddress;
use crate::tls_records::{Boundary, SecretNotes, with_secrets};

/// What is offered where HTTP/1.1 is needed, as a tunnel begins with it, and where HTTP/2 would do
/// as well.
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const EITHER: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What the connections of a group rest on. Immutable: where its settings change, or their files
/// are read again, there is another.
pub(super) struct Trust {
    /// For HTTP/1.1, and for either version.
    connectors: [TlsConnector; 2],
    server_name: Option<ServerName<'static>>,
    /// Equal for equal settings.
    key: u64,
    roots: Arc<RootCertStore>,
}

/// TLS to one target.
pub struct Tls {
    trust: Arc<Trust>,
    /// What its certificate must be for. An address is not sent: only hosts are asked for (RFC 6066
    /// section 3).
    name: ServerName<'static>,
    text: String,
}

impl Trust {
    /// What the configuration says. The configuration has been checked; an error says what rustls
    /// does not take.
    pub(super) fn build(tls: &model::TargetTls) -> Result<Self, String> {
        let config = config(tls).map_err(|error| error.to_string())?;
        let connectors = [HTTP1, EITHER].map(|protocols| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config.enable_secret_extraction = true;
            config.key_log = Arc::new(SecretNotes);
            TlsConnector::from(Arc::new(config))
        });
        Ok(Trust {
            connectors,
            server_name: tls.server_name.clone().map(ServerName::DnsName),
            key: key(tls),
            roots: Arc::clone(&tls.roots),
        })
    }

    /// Whether it was built from these settings, and from what was read with them.
    pub(super) fn rests_on(&self, tls: &model::TargetTls) -> bool {
        self.key == key(tls) && Arc::ptr_eq(&self.roots, &tls.roots)
    }
}

impl Tls {
    pub(super) fn build(trust: &Arc<Trust>, target: &model::Target) -> Self {
        let named = || ServerName::try_from(target.host.as_deref()?.to_owned()).ok();
        let name = trust.server_name.clone().or_else(named);
        let name = name.unwrap_or_else(|| own_name(&target.address));
        Tls {
            trust: Arc::clone(trust),
            text: name.to_str().into_owned(),
            name,
        }
    }

    /// Shakes hands, for HTTP/1.1, or for either version if it `offers_http2`.
    pub async fn connect(&self, socket: TcpStream, offers_http2: bool) -> io::Result<TlsStream> {
        let connector = &self.trust.connectors[usize::from(offers_http2)];
        let shaking = connector.connect(self.name.clone(), Boundary::new(socket));
        let (stream, secrets) = with_secrets(shaking).await;
        Ok(TlsStream::new(stream?, secrets))
    }

    /// The host that it is asked for, if it is.
    pub(super) fn host(&self) -> Option<&str> {
        match self.name {
            ServerName::DnsName(_) => Some(&self.text),
            _ => None,
        }
    }

    /// Keeps connections apart that rest on other settings.
    pub(super) fn tell_apart(&self, peer: &mut HttpPeer) {
        peer.sni.clone_from(&self.text);
        peer.group_key = self.trust.key;
    }
}

/// Whom the certificate of a target without a name is for.
fn own_name(address: &TargetAddress) -> ServerName<'static> {
    match address.ip() {
        Some(ip) => ServerName::IpAddress(ip.into()),
        None => ServerName::try_from("localhost").expect("a DNS name"),
    }
}

fn config(tls: &model::TargetTls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.verify_certificate {
        true => {
            let roots = Arc::clone(&tls.roots);
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
            let verifier = verifier.build();
            let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
            let anchors = tls.authorities.clone().unwrap_or_default();
            Arc::new(Anchored {
                verifier,
                anchors,
                roots,
                algorithms: provider.signature_verification_algorithms,
                names: tls.subject_names.clone(),
            })
        }
        false => Arc::new(Unverified(provider.signature_verification_algorithms)),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match &tls.client_certificate {
        Some(own) => {
            let shown = SingleCertAndKey::from(Arc::clone(&own.key));
            config.with_client_cert_resolver(Arc::new(shown))
        }
        None => config.with_no_client_auth(),
    })
}

fn key(tls: &model::TargetTls) -> u64 {
    let mut hasher = DefaultHasher::new();
    tls.server_name.hash(&mut hasher);
    tls.subject_names.hash(&mut hasher);
    tls.verify_certificate.hash(&mut hasher);
    for authority in tls.authorities.iter().flatten() {
        authority.hash(&mut hasher);
    }
    let shown = tls.client_certificate.as_ref();
    shown.map(|own| &own.key.cert).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_on_the_same_settings_and_files_as_read_is_kept() {
        let roots = Arc::new(RootCertStore::empty());
        let settings = model::TargetTls {
            server_name: None,
            subject_names: Vec::new(),
            authorities: None,
            roots: Arc::clone(&roots),
            verify_certificate: false,
            client_certificate: None,
        };
        let trust = Trust::build(&settings).unwrap();
        assert!(trust.rests_on(&settings.clone()));
        let read_again = model::TargetTls {
            roots: Arc::new(RootCertStore::empty()),
            ..settings.clone()
        };
        let verified = model::TargetTls {
            verify_certificate: true,
            ..settings
        };
        let named = model::TargetTls {
            subject_names: vec![model::SubjectName::Host("a.example".to_owned())],
            ..read_again.clone()
        };
        assert!(!trust.rests_on(&read_again) && !trust.rests_on(&verified));
        assert!(!trust.rests_on(&named));
    }
}
