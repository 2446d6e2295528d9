//! The TLS of the bench: one certificate on P-256, made for the run, and what the client offers.
//!
//! The client offers one version, one cipher and one key exchange, so that all proxies do the same,
//! and resumes nothing. It knows the certificate, and only checks who signs with it: it has to be
//! leaner than what it measures.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    HandshakeKind, SignatureScheme,
};
use tempfile::TempDir;

const HOST: &str = "chat.example.com";

/// The certificate, in the files that the proxies read, and the client that knows it.
pub(crate) struct Tls {
    folder: TempDir,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// A new certificate: `chain.pem` and `key.pem`, and `both.pem` for HAProxy.
    pub(crate) fn new() -> io::Result<Self> {
        let made = generate_simple_self_signed([HOST.to_owned()]).map_err(io::Error::other)?;
        let CertifiedKey { cert, signing_key } = made;
        let folder = tempfile::tempdir()?;
        let (chain, key) = (cert.pem(), signing_key.serialize_pem());
        fs::write(folder.path().join("chain.pem"), &chain)?;
        fs::write(folder.path().join("key.pem"), &key)?;
        fs::write(folder.path().join("both.pem"), chain + &key)?;
        let client = client(cert.der().clone()).map_err(io::Error::other)?;
        Ok(Tls {
            folder,
            client: Arc::new(client),
        })
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What clients offer.
    pub(crate) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }
}

/// Whom clients mean.
pub(crate) fn host() -> io::Result<ServerName<'static>> {
    ServerName::try_from(HOST).map_err(io::Error::other)
}

/// A session of a client that has not begun.
pub(crate) fn session(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    ClientConnection::new(Arc::clone(config), host()?).map_err(io::Error::other)
}

/// Errors: the handshake was not the one that is measured.
pub(crate) fn check(session: &ClientConnection) -> io::Result<()> {
    let suite = session.negotiated_cipher_suite().map(|one| one.suite());
    let kind = session.handshake_kind();
    if suite == Some(CipherSuite::TLS13_AES_128_GCM_SHA256) && kind == Some(HandshakeKind::Full) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a TLS handshake that is not to be measured: {suite:?}, {kind:?}"
    )))
}

fn client(certificate: CertificateDer<'static>) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    };
    let known = Known {
        certificate,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(known))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct Known {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *certificate == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
