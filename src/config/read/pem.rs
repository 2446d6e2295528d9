//! Files that a key names, and the certificates in them.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::super::bounded::{LARGEST_FILE, read_bounded};
use super::super::tree::Node;

/// All certificates in the file that a key names; at least one.
pub(super) fn certificates(node: &Node) -> Option<Vec<CertificateDer<'static>>> {
    let pem = contents(node)?;
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            node.problem("has no certificate (-----BEGIN CERTIFICATE-----)")
        }
        Ok(found) => Some(found),
        Err(error) => node.problem(not_pem(error)),
    }
}

/// What they say of themselves.
pub(super) fn parsed<'a>(
    certificates: &'a [CertificateDer<'_>],
    node: &Node,
) -> Option<Vec<X509Certificate<'a>>> {
    let mut parsed = Vec::new();
    for (place, certificate) in certificates.iter().enumerate() {
        match X509Certificate::from_der(certificate) {
            Ok(([], certificate)) => parsed.push(certificate),
            _ => return node.problem(format!("certificate {} is malformed", place + 1)),
        }
    }
    Some(parsed)
}

/// Not before 1970; X.509 ends with the year 9999.
pub(super) fn moment(time: &ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What is in the file that a key names.
pub(super) fn contents(node: &Node) -> Option<Vec<u8>> {
    let path = node.path_of_file()?;
    node.warn_of_variables();
    // Whoever opens one waits for whoever writes to it: all of the API's clients would.
    if fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo()) {
        return node.problem("is a pipe");
    }
    match read_bounded(&path) {
        Ok(bytes) if bytes.len() > LARGEST_FILE => node.problem("is larger than 16 MiB"),
        Ok(bytes) => Some(bytes),
        Err(error) => node.problem(format!("{}: cannot be read: {error}", path.display())),
    }
}

pub(super) fn not_pem(error: PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "a PEM section has no end (-----END …-----)".into(),
        PemError::IllegalSectionStart { .. } => "a PEM section has a malformed begin".into(),
        PemError::Base64Decode(error) => format!("a PEM section is not base64: {error}"),
        error => format!("is not PEM: {error}"),
    }
}
