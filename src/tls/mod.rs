//! TLS towards clients: what a forwarding rule offers, and the handshake.
//!
//! A reload makes new settings for the connections that come then, like the rest of the rule. Only
//! files that have changed on disk change the settings of a rule that stays. What all share, also
//! with those before, are the keys that session tickets are sealed with, so that clients can
//! resume.

mod certificates;
mod client_certificates;
mod odd_names;
mod one_certificate;
mod subject;
mod tickets;

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::acme::{Challenges, PROTOCOL};
use crate::config::model::{self, Challenge, TlsVersion};
use crate::stream::{ClientStream, TlsStream};
use crate::telemetry::TlsSession;
use crate::tls_records::{Boundary, SecretNotes, with_secrets};
use certificates::Certificates;
use client_certificates::Clients;
use odd_names::{read_odd_hello, show};
pub use one_certificate::one_certificate;
pub use tickets::{OwnKey, Tickets};

/// What clients may choose between (RFC 7301), ours first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a forwarding rule offers to those who come now.
pub struct Tls(ArcSwap<Offer>);

struct Offer {
    acceptor: TlsAcceptor,
    /// For those who ask for what can be no host; none where a host must be asked for.
    odd: Option<TlsAcceptor>,
    clients: Option<Arc<Clients>>,
}

impl Tls {
    /// With those of all certificates that the rule names. The configuration has been checked; an
    /// error names a certificate that does not exist.
    pub fn build(
        tls: &model::Tls,
        certificates: &[model::Certificate],
        tickets: &Tickets,
        challenges: &Arc<Challenges>,
    ) -> Result<Self, String> {
        let find = |name: &String| {
            let found = certificates.iter().find(|one| one.name == *name);
            found.ok_or_else(|| name.clone())
        };
        let named: Vec<_> = tls
            .certificates
            .iter()
            .map(find)
            .collect::<Result<_, _>>()?;
        let provider = Arc::new(default_provider());
        let resolver = Arc::new(Certificates::new(&named, tls.strict_sni).answering(challenges));
        let clients = tls.client_certificates.as_ref();
        let clients = clients.map(|settings| Clients::build(settings, Arc::clone(&provider)));
        let clients = clients.transpose()?;
        let ticketer = tickets.of(clients
            .as_ref()
            .map_or(Vec::new(), |clients| clients.audience()));
        let acceptor = |provider| -> Result<TlsAcceptor, String> {
            let builder = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions(tls.min_version))
                .map_err(|error| error.to_string())?;
            let builder = match clients.clone() {
                Some(clients) => builder.with_client_cert_verifier(clients),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(Arc::clone(&resolver) as _);
            let offered = &PROTOCOLS[usize::from(!tls.http2)..];
            config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
            if certificates.iter().any(is_shown_in_tls) {
                config.alpn_protocols.push(PROTOCOL.to_vec());
            }
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = Arc::clone(&ticketer);
            config.enable_secret_extraction = true;
            config.key_log = Arc::new(SecretNotes);
            Ok(Arc::new(config).into())
        };
        let is_lax = !tls.strict_sni;
        let odd = is_lax.then(|| acceptor(odd_names::provider()));
        let offer = Offer {
            acceptor: acceptor(provider)?,
            odd: odd.transpose()?,
            clients,
        };
        Ok(Tls(ArcSwap::from_pointee(offer)))
    }

    /// Offers from now on what the other one does.
    pub fn renew(&self, other: &Tls) {
        self.0.store(other.0.load_full());
    }

    /// Shakes hands.
    pub(super) async fn accept(
        &self,
        mut socket: TcpStream,
    ) -> io::Result<(ClientStream, TlsSession)> {
        let offer = self.0.load_full();
        let odd = match &offer.odd {
            Some(acceptor) => read_odd_hello(&mut socket)
                .await?
                .map(|hello| (acceptor, hello)),
            None => None,
        };
        let socket = Boundary::new(socket);
        let shaking = match odd {
            Some((acceptor, hello)) => {
                acceptor.accept_with(socket, |connection| show(&hello, connection))
            }
            None => offer.acceptor.accept(socket),
        };
        let (stream, secrets) = with_secrets(shaking).await;
        let stream = stream?;
        let connection = stream.get_ref().1;
        if connection.alpn_protocol() == Some(PROTOCOL) {
            return Err(io::Error::other("a challenge of ACME was answered"));
        }
        let clients = offer.clients.as_ref();
        let judged = clients.map(|clients| clients.judge(connection)).transpose();
        let session = TlsSession {
            client_certificate: judged.map_err(io::Error::other)?,
            ..session(connection)
        };
        Ok((ClientStream::Tls(TlsStream::new(stream, secrets)), session))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Whether a certificate is ordered by TLS-ALPN-01.
fn is_shown_in_tls(certificate: &model::Certificate) -> bool {
    let acme = certificate.acme.as_ref();
    acme.is_some_and(|acme| acme.challenge == Challenge::TlsAlpn)
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    static FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];
    match min {
        TlsVersion::V1_2 => FROM_1_2,
        TlsVersion::V1_3 => FROM_1_3,
    }
}

fn session(connection: &ServerConnection) -> TlsSession {
    let suite = connection.negotiated_cipher_suite();
    let (protocol, suite) = match suite {
        Some(suite) if suite.tls13().is_some() => ("TLSv1.3", suite.suite()),
        Some(suite) => ("TLSv1.2", suite.suite()),
        None => return TlsSession::default(),
    };
    // As IANA has it; rustls says TLS13_AES_128_GCM_SHA256.
    let cipher = suite.as_str().unwrap_or_default();
    let cipher = cipher.replacen("TLS13_", "TLS_", 1);
    TlsSession {
        protocol,
        cipher,
        server_name: connection
            .server_name()
            .map(|name| name.strip_suffix('.').unwrap_or(name).to_owned()),
        client_certificate: None,
    }
}
