//! What the log says of a target with which there is no TLS: a few words of ours, for some of
//! rustls' come from the target.

use pingora::{Error, ErrorType};

/// What rustls says begins with this where it is about the certificate; then comes one of the words
/// below.
const CERTIFICATE: &str = "invalid peer certificate: ";

const CERTIFICATE_WORDS: &[(&str, &str)] = &[
    ("UnknownIssuer", "unknown issuer"),
    // The name of one that is known, with another key.
    ("BadSignature", "unknown issuer"),
    ("certificate not valid for name", "wrong name"),
    ("NotValidForName", "wrong name"),
    ("certificate expired", "expired"),
    ("Expired", "expired"),
    ("certificate not valid yet", "not valid yet"),
    ("NotValidYet", "not valid yet"),
    ("certificate does not allow", "not for a server"),
    ("InvalidPurpose", "not for a server"),
    ("Revoked", "revoked"),
    ("BadEncoding", "malformed"),
    ("Other(OtherError(CaUsedAsEndEntity))", "an authority's"),
];

const WORDS: &[(&str, &str)] = &[
    ("received corrupt message", "the answer is not TLS"),
    ("peer is incompatible", "no version or cipher in common"),
    (
        "received fatal alert: ProtocolVersion",
        "no version or cipher in common",
    ),
    (
        "received fatal alert: HandshakeFailure",
        "no version or cipher in common",
    ),
    (
        "received fatal alert: UnrecognisedName",
        "it does not know serverName",
    ),
    (
        "received fatal alert: CertificateRequired",
        "it asks for a certificate",
    ),
    (
        "received fatal alert: NoApplicationProtocol",
        "no version of HTTP in common",
    ),
    ("received fatal alert", "it refused"),
    ("peer misbehaved", "it broke the protocol"),
    ("eof", "it closed the connection"),
    ("reset by peer", "it closed the connection"),
];

/// Why there is no TLS with a target; `None` if something else is wrong.
pub(super) fn words(error: &Error) -> Option<String> {
    match error.etype() {
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert => {}
        _ => return None,
    }
    // Pingora passes on no more than the text.
    let text = error.to_string();
    if let Some((_, text)) = text.split_once(CERTIFICATE) {
        let mut words = CERTIFICATE_WORDS.iter();
        let found = words.find(|(begin, _)| text.starts_with(begin));
        let word = found.map_or("cannot be used", |(_, word)| word);
        return Some(format!("target certificate: {word}"));
    }
    let found = WORDS.iter().find(|(part, _)| text.contains(part));
    let word = found.map_or("the handshake failed", |(_, word)| word);
    Some(format!("target TLS: {word}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{AlertDescription, CertificateError, Error as Tls, InvalidMessage, OtherError};

    use super::*;

    /// As it comes from our own handshake, and from Pingora's.
    fn both(error: Tls) -> [String; 2] {
        let cause = || std::io::Error::new(std::io::ErrorKind::InvalidData, error.clone());
        let ours = Error::because(ErrorType::TLSHandshakeFailure, "TLS handshake", cause());
        let inner = Error::because(ErrorType::TLSHandshakeFailure, "tls connect error", cause());
        let context = format!("TLS connect() failed: {inner}, SNI: a.example");
        let pingoras = Error::explain(ErrorType::TLSHandshakeFailure, context);
        [ours, pingoras].map(|error| words(&error).unwrap())
    }

    #[test]
    fn what_rustls_says_becomes_a_few_words_of_ours() {
        let expected = ServerName::try_from("Expired.example").unwrap();
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let other = OtherError(Arc::new(std::io::Error::other("UnknownIssuer")));
        for (error, said) in [
            (CertificateError::UnknownIssuer, "unknown issuer"),
            (CertificateError::Expired, "expired"),
            (
                CertificateError::ExpiredContext {
                    time: at(2),
                    not_after: at(1),
                },
                "expired",
            ),
            (CertificateError::NotValidYet, "not valid yet"),
            (
                CertificateError::NotValidYetContext {
                    time: at(1),
                    not_before: at(2),
                },
                "not valid yet",
            ),
            (CertificateError::NotValidForName, "wrong name"),
            (
                CertificateError::NotValidForNameContext {
                    expected,
                    presented: vec!["UnknownIssuer".into()],
                },
                "wrong name",
            ),
            (CertificateError::InvalidPurpose, "not for a server"),
            (CertificateError::Revoked, "revoked"),
            (CertificateError::BadEncoding, "malformed"),
            (CertificateError::BadSignature, "unknown issuer"),
            (CertificateError::Other(other), "cannot be used"),
        ] {
            let expected = format!("target certificate: {said}");
            assert_eq!(both(error.clone().into()), [&*expected; 2], "{error:?}");
        }
        for (error, said) in [
            (
                Tls::InvalidMessage(InvalidMessage::InvalidContentType),
                "the answer is not TLS",
            ),
            (
                Tls::AlertReceived(AlertDescription::ProtocolVersion),
                "no version or cipher in common",
            ),
            (
                Tls::AlertReceived(AlertDescription::UnrecognisedName),
                "it does not know serverName",
            ),
            (
                Tls::AlertReceived(AlertDescription::AccessDenied),
                "it refused",
            ),
            (Tls::DecryptError, "the handshake failed"),
        ] {
            let expected = format!("target TLS: {said}");
            assert_eq!(both(error.clone()), [&*expected; 2], "{error:?}");
        }
    }

    #[test]
    fn other_errors_are_not_about_tls() {
        assert_eq!(words(&Error::new_up(ErrorType::ConnectRefused)), None);
    }
}
