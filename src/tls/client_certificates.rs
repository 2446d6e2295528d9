//! Certificates of clients: whether one is asked for, and what is found out about it.
//!
//! With `optional` the handshake goes on whatever a client shows, if only it has the key; what it
//! has shown is judged when the handshake is over. So is what is remembered of a client that
//! resumes a session: its certificate may have expired. A session is resumed only where the same
//! authorities vouch for clients in the same way (see [`Clients::audience`]).

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind,
    SignatureScheme,
};

use super::subject::subject;
use crate::config::model::{ClientCertificateMode, ClientCertificates};
use crate::telemetry::ClientCertificate;

/// How many bytes of certificates a client may show. They stay in memory for as long as its
/// connection is open.
const MOST_SHOWN: usize = 16 << 10;

/// What a rule asks of clients.
pub(super) struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    is_required: bool,
    audience: Vec<u8>,
}

impl Clients {
    pub(super) fn build(
        settings: &ClientCertificates,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, String> {
        let roots = Arc::clone(&settings.authorities.roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        let is_required = settings.mode == ClientCertificateMode::Require;
        let mut authorities: Vec<&[u8]> = Vec::new();
        authorities.extend(settings.authorities.certificates.iter().map(|one| &one[..]));
        authorities.sort_unstable();
        let mut audience = vec![u8::from(is_required)];
        for authority in authorities {
            audience.extend_from_slice(digest(&SHA256, authority).as_ref());
        }
        Ok(Arc::new(Clients {
            verifier: verifier.map_err(|error| error.to_string())?,
            is_required,
            audience: digest(&SHA256, &audience).as_ref().to_vec(),
        }))
    }

    /// Which rules may resume each other's sessions: those with the same authorities and the same
    /// mode, on any machine.
    pub(super) fn audience(&self) -> Vec<u8> {
        self.audience.clone()
    }

    /// What to say of a client whose handshake is over. An error where a valid certificate is
    /// required and there is none, and where too much is shown.
    pub(super) fn judge(&self, connection: &ServerConnection) -> Result<ClientCertificate, Error> {
        let shown = connection.peer_certificates().unwrap_or_default();
        let Some((first, others)) = shown.split_first() else {
            return match self.is_required {
                true => Err(Error::NoCertificatesPresented),
                false => Ok(ClientCertificate::NONE),
            };
        };
        if shown.iter().map(|one| one.len()).sum::<usize>() > MOST_SHOWN {
            return Err(Error::General("too large certificates".to_owned()));
        }
        let is_new = connection.handshake_kind() != Some(HandshakeKind::Resumed);
        let verified = match self.is_required && is_new {
            true => Ok(()),
            false => self.verify(first, others),
        };
        let verify = match verified {
            Ok(()) => "SUCCESS",
            Err(error) if self.is_required => return Err(error),
            Err(error) => failure(&error),
        };
        Ok(ClientCertificate {
            verify,
            subject: subject(first),
            fingerprint: Some(hex(digest(&SHA256, first).as_ref())),
        })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let now = UnixTime::now();
        let verified = self.verifier.verify_client_cert(certificate, others, now);
        verified.map(drop)
    }
}

/// A closed list of words.
fn failure(error: &Error) -> &'static str {
    use CertificateError::{
        BadEncoding, BadSignature, Expired, ExpiredContext, InvalidPurpose, InvalidPurposeContext,
        NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let Error::InvalidCertificate(error) = error else {
        return "FAILED:invalid";
    };
    match error {
        Expired | ExpiredContext { .. } => "FAILED:expired",
        NotValidYet | NotValidYetContext { .. } => "FAILED:not_yet_valid",
        UnknownIssuer => "FAILED:unknown_issuer",
        BadSignature => "FAILED:bad_signature",
        BadEncoding => "FAILED:malformed",
        InvalidPurpose | InvalidPurposeContext { .. } => "FAILED:wrong_purpose",
        _ => "FAILED:invalid",
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)]);
    digits.collect()
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.is_required {
            true => self.verifier.verify_client_cert(certificate, others, now),
            // It is judged later.
            false => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}
