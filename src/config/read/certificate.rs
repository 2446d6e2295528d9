//! An entry of `certificates`: the files of a chain and of its key, read, and checked against each
//! other. What is to be issued by ACME is read in `acme`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use super::super::model::{Certificate, CertificateFiles, Source};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::pem::{certificates, contents, moment, not_pem, parsed};

pub(super) const KEYS: &[&str] = &["name", "certificateChain", "privateKey", "acme"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(14 * DAY.as_secs());

pub(super) fn read(node: Node, names: &mut Unique<String>) -> Option<Certificate> {
    let mapping = node.mapping(KEYS)?;
    let name = mapping.required("name", |node| node.name(names));
    let chain = mapping.required("certificateChain", chain);
    let key = mapping.required("privateKey", private_key);
    let (chain, key) = (chain?, key?);
    let files = CertificateFiles {
        chain: mapping.required("certificateChain", Node::path_of_file)?,
        key: mapping.required("privateKey", Node::path_of_file)?,
    };
    let key = CertifiedKey::new(chain.certificates, key);
    check_pair(&key, &mapping)?;
    Some(Certificate {
        source: Source::File,
        name: name?,
        files: Some(files),
        acme: None,
        stands_in: false,
        key: Arc::new(key),
        names: chain.names,
        not_after: chain.not_after,
    })
}

fn check_pair(key: &CertifiedKey, mapping: &Mapping) -> Option<()> {
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(()),
        Err(Error::InconsistentKeys(_)) => mapping.problem(
            "privateKey",
            "is not the key of the first certificate in certificateChain",
        ),
        Err(error) => mapping.problem("certificateChain", format!("cannot be used: {error}")),
    }
}

/// A certificate and those that vouch for it, with what it says of itself.
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    names: Vec<String>,
    not_after: SystemTime,
}

fn chain(node: &Node) -> Option<Chain> {
    let certificates = certificates(node)?;
    let parsed = parsed(&certificates, node)?;
    let first = parsed.first()?;
    let names = names(first, node)?;
    warn_of_order(&parsed, node);
    warn_of_time(first, node);
    Some(Chain {
        names,
        not_after: moment(&first.validity().not_after),
        certificates,
    })
}

/// The DNS names in the subject's alternative names; the common name has not counted for long (RFC
/// 9525 section 2).
fn names(certificate: &X509Certificate, node: &Node) -> Option<Vec<String>> {
    let Ok(found) = certificate.subject_alternative_name() else {
        return node.problem("certificate 1 has malformed names");
    };
    let general = found.iter().flat_map(|found| &found.value.general_names);
    let dns = general.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some(dns.collect())
}

fn warn_of_order(chain: &[X509Certificate], node: &Node) {
    for (place, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            let (subject, issuer) = (place + 1, place + 2);
            node.warning(format!(
                "certificate {subject} was not issued by certificate {issuer}"
            ));
        }
    }
}

fn warn_of_time(certificate: &X509Certificate, node: &Node) {
    let now = SystemTime::now();
    let begin = moment(&certificate.validity().not_before);
    let end = moment(&certificate.validity().not_after);
    if begin > now {
        node.warning(format!("is valid only from {}", day(begin)));
    }
    match end.duration_since(now) {
        Err(_) => node.warning(format!("expired on {}", day(end))),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / DAY.as_secs();
            node.warning(format!("expires on {}, in {days} days", day(end)));
        }
        Ok(_) => {}
    }
}

/// `2026-11-21`
fn day(moment: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(moment).to_string();
    text.truncate("2026-11-21".len());
    text
}

fn private_key(node: &Node) -> Option<Arc<dyn SigningKey>> {
    let pem = Zeroizing::new(contents(node)?);
    let key = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => key,
        Err(_) if is_encrypted(&pem) => {
            return node.problem("is encrypted, which is not supported");
        }
        Err(PemError::NoItemsFound) => {
            return node.problem("has no private key (-----BEGIN PRIVATE KEY-----)");
        }
        Err(error) => return node.problem(not_pem(error)),
    };
    match any_supported_type(&key) {
        Ok(key) => Some(key),
        Err(_) => node.problem(
            "has no key that can be used: RSA of 2048 to 8192 bits, ECDSA on P-256 or \
             P-384, or Ed25519",
        ),
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    memchr::memmem::find(pem, b"ENCRYPTED").is_some()
}
