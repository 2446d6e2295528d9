//! `clientCertificates` on a forwarding rule: who vouches for clients.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use x509_parser::certificate::X509Certificate;

use super::super::model::{Authorities, ClientCertificateMode, ClientCertificates};
use super::super::tree::Node;
use super::defaults;
use super::pem::{certificates, moment, parsed};

pub(super) const KEYS: &[&str] = &["caFile", "mode"];

const MODES: &[(&str, ClientCertificateMode)] = &[
    ("require", ClientCertificateMode::Require),
    ("optional", ClientCertificateMode::Optional),
];

pub(super) fn read(node: &Node) -> Option<ClientCertificates> {
    let mapping = node.mapping(KEYS)?;
    let ca = mapping.required("caFile", |node| {
        Some((node.path_of_file()?, authorities(node)?))
    });
    let mode = mapping.or("mode", defaults::CLIENT_CERTIFICATE_MODE, |node| {
        node.choice(MODES, &[])
    });
    let (ca_file, authorities) = ca?;
    Some(ClientCertificates {
        ca_file: Some(ca_file),
        authorities,
        mode: mode?,
    })
}

/// What is in the file that a key names.
pub(super) fn authorities(node: &Node) -> Option<Authorities> {
    let certificates = certificates(node)?;
    let mut roots = RootCertStore::empty();
    for (place, (certificate, parsed)) in certificates
        .iter()
        .zip(parsed(&certificates, node)?)
        .enumerate()
    {
        let name = format!("certificate {}", place + 1);
        if let Err(error) = roots.add(certificate.clone()) {
            return node.problem(format!("{name} cannot be used: {error}"));
        }
        warn(&name, &parsed, node);
    }
    Some(Authorities {
        roots: Arc::new(roots),
        certificates,
    })
}

fn warn(name: &str, certificate: &X509Certificate, node: &Node) {
    if !certificate.is_ca() {
        node.warning(format!("{name} is not that of an authority"));
    }
    if moment(&certificate.validity().not_after) < SystemTime::now() {
        node.warning(format!("{name} has expired"));
    }
}
