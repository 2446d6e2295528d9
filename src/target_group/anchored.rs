//! A target's certificate that is itself one of those in `caFile`, as `openssl req -x509` makes
//! them by default. WebPKI takes no authority's certificate for a server's; whoever has put the
//! very one into the file has said that it is.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::subject_names;
use crate::config::model::SubjectName;

/// Verifies as WebPKI does, and takes one of these certificates, byte for byte, where that does
/// not.
#[derive(Debug)]
pub(super) struct Anchored {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    pub(super) anchors: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Whom the certificate must be for; whoever was asked for where there are none.
    pub(super) names: Vec<SubjectName>,
}

impl Anchored {
    /// Whether an authority vouches for it, whoever it is for.
    fn check_chain(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let (roots, known) = (&self.roots, self.algorithms.all);
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, known)?;
        Ok(ServerCertVerified::assertion())
    }

    fn check_name(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        match &self.names[..] {
            [] => verify_server_name(&ParsedCertificate::try_from(certificate)?, name),
            names => subject_names::check(certificate, names),
        }
    }
}

impl ServerCertVerifier for Anchored {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = match self.names.is_empty() {
            true => (self.verifier).verify_server_cert(certificate, others, name, stapled, now),
            false => self.check_chain(certificate, others, now),
        };
        match verified {
            Err(_) if self.anchors.contains(certificate) => check(certificate, now)?,
            Ok(_) if !self.names.is_empty() => {}
            verified => return verified,
        }
        self.check_name(certificate, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        (self.verifier).verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        (self.verifier).verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Whether it is good now, and for a server where it says what it is for (RFC 5280 section
/// 4.2.1.12).
fn check(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).ok();
    let now = now.and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(CertificateError::BadEncoding)?;
    if now < parsed.validity().not_before {
        return Err(CertificateError::NotValidYet);
    }
    if now > parsed.validity().not_after {
        return Err(CertificateError::Expired);
    }
    let purposes = parsed.extended_key_usage();
    let purposes = purposes.map_err(|_| CertificateError::BadEncoding)?;
    match purposes.is_none_or(|purposes| purposes.value.server_auth || purposes.value.any) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
    };
    use rustls::RootCertStore;
    use rustls::crypto::ring::default_provider;

    use super::*;

    /// What comes of a certificate that is good in 2001, for this purpose, where `caFile` has it.
    fn verified(
        purpose: Option<ExtendedKeyUsagePurpose>,
        name: &str,
        year: i32,
    ) -> Result<(), Error> {
        let mut params = CertificateParams::new(["target.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        params.extended_key_usages.extend(purpose);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificate = certificate.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let algorithms = provider.signature_verification_algorithms;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider);
        let verifier = Anchored {
            verifier: verifier.build().unwrap(),
            anchors: vec![certificate.clone()],
            roots,
            algorithms,
            names: Vec::new(),
        };
        let name = ServerName::try_from(name).unwrap();
        let now = date_time_ymd(year, 6, 1)
            .unix_timestamp()
            .try_into()
            .unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
        verified.map(drop)
    }

    #[test]
    fn an_anchor_is_taken_for_its_names_in_its_time_and_for_a_server() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
        for purpose in [None, Some(ServerAuth), Some(Any)] {
            assert_eq!(verified(purpose, "target.example", 2001), Ok(()));
        }
        let fault = |purpose, name, year| match verified(purpose, name, year) {
            Err(Error::InvalidCertificate(error)) => error,
            other => panic!("{other:?}"),
        };
        let early = fault(None, "target.example", 2000);
        assert_eq!(early, CertificateError::NotValidYet);
        let late = fault(None, "target.example", 2002);
        assert_eq!(late, CertificateError::Expired);
        let client = fault(Some(ClientAuth), "target.example", 2001);
        assert_eq!(client, CertificateError::InvalidPurpose);
        assert!(matches!(
            fault(None, "other.example", 2001),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ));
    }
}
