//! TLS towards the targets of a group: `protocol`, and the keys that go with HTTPS.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, DnsName};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::super::model::{Certificate, OwnCertificate, SubjectName, TargetTls};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::none_named;
use super::defaults;
use super::pem::{contents, not_pem};

/// How many entries `subjectAltNames` may have.
const MOST_NAMES: usize = 16;

const PROTOCOLS: &[(&str, bool)] = &[("HTTP", false), ("HTTPS", true)];

/// Those that the system trusts, as they were when they were first asked for, which is when Pingora
/// reads them too.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    match rustls_native_certs::load_native_certs() {
        Ok(found) => drop(roots.add_parsable_certificates(found)),
        Err(error) => log::warn!("the system's certificate authorities: {error}"),
    }
    Arc::new(roots)
});

/// Certificates of authorities, as they are in a file and as they are verified with.
pub(super) struct Authorities {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
}

/// The entries of `certificates` that a group may name: all names, and those that were read.
pub(super) struct Certificates<'a> {
    pub(super) names: HashSet<&'a str>,
    pub(super) read: &'a [Certificate],
}

/// Without HTTPS there is no TLS.
pub(super) fn read(group: &Mapping, certificates: &Certificates) -> Option<Option<TargetTls>> {
    let is_tls = group.required("protocol", |node| node.choice(PROTOCOLS, &[]));
    let server_name = group.or("serverName", None, |node| server_name(node).map(Some));
    let names = group.or("subjectAltNames", Vec::new(), subject_names);
    let authorities = group.or("caFile", None, |node| authorities(node).map(Some));
    let verifies = group.or(
        "verifyCertificate",
        defaults::VERIFY_CERTIFICATE,
        Node::boolean,
    );
    let own = group.or("clientCertificate", None, |node| {
        own_certificate(node, certificates).map(Some)
    });
    let (is_tls, server_name, own) = (is_tls?, server_name?, own?);
    let (names, authorities, verifies) = (names?, authorities?, verifies?);
    if !is_tls {
        for (key, is_set) in [
            ("serverName", server_name.is_some()),
            ("subjectAltNames", !names.is_empty()),
            ("caFile", authorities.is_some()),
            ("verifyCertificate", !verifies),
            ("clientCertificate", own.is_some()),
        ] {
            if is_set {
                group.warning(key, "has no effect without HTTPS");
            }
        }
        return Some(None);
    }
    if !verifies {
        let warning =
            "nobody's certificate is verified: whoever answers in a target's place is taken for it";
        group.warning("verifyCertificate", warning);
    }
    let (certificates, roots) = match authorities {
        Some(found) => (Some(found.certificates), found.roots),
        None => (None, system(group)?),
    };
    Some(Some(TargetTls {
        server_name,
        subject_names: names,
        authorities: certificates,
        roots,
        verify_certificate: verifies,
        client_certificate: own,
    }))
}

/// One that was not read is a problem where it stands.
fn own_certificate(node: &Node, certificates: &Certificates) -> Option<OwnCertificate> {
    let name = node.text()?;
    if !certificates.names.contains(name) {
        return node.problem(none_named(
            "certificate",
            name,
            certificates.names.iter().copied(),
        ));
    }
    let found = certificates.read.iter().find(|one| one.name == name)?;
    Some(OwnCertificate {
        name: name.to_owned(),
        key: Arc::clone(&found.key),
    })
}

/// What can be asked for (SNI), and be in a certificate.
fn server_name(node: &Node) -> Option<DnsName<'static>> {
    let name = DnsName::try_from(node.string()?);
    match name {
        Ok(name) if !name.as_ref().contains(['*', '_']) => Some(name.to_owned()),
        _ => node.wrong("a DNS name"),
    }
}

/// Whom certificates may be for: DNS names, and URIs.
fn subject_names(list: &Node) -> Option<Vec<SubjectName>> {
    let count = list.entries()?.len();
    if !(1..=MOST_NAMES).contains(&count) {
        return list.problem(format!("must have 1 to {MOST_NAMES} entries, not {count}"));
    }
    let mut known = Unique::new("name");
    list.each(|node| {
        let text = node.string()?;
        let name = match text.contains(':') {
            true => Some(SubjectName::Uri(text.to_owned())).filter(|_| is_uri(text)),
            false => host(text).map(SubjectName::Host),
        };
        known.enter(text.to_owned(), &node);
        name.or_else(|| node.wrong("a DNS name, whose first label may be *, or a URI"))
    })
}

fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    is_scheme && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn host(text: &str) -> Option<String> {
    let name = DnsName::try_from(text.strip_prefix("*.").unwrap_or(text)).ok()?;
    (!name.as_ref().contains('*')).then(|| text.to_ascii_lowercase())
}

/// A file with certificates of authorities.
pub(super) fn authorities(node: &Node) -> Option<Authorities> {
    let pem = contents(node)?;
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = match found {
        Ok(found) if found.is_empty() => {
            return node.problem("has no certificate (-----BEGIN CERTIFICATE-----)");
        }
        Ok(found) => found,
        Err(error) => return node.problem(not_pem(error)),
    };
    let mut roots = RootCertStore::empty();
    for (place, certificate) in certificates.iter().enumerate() {
        let is_added = roots.add(certificate.clone()).is_ok();
        if !is_added || !matches!(X509Certificate::from_der(certificate), Ok(([], _))) {
            return node.problem(format!("certificate {} is malformed", place + 1));
        }
    }
    Some(Authorities {
        certificates,
        roots: Arc::new(roots),
    })
}

/// Those that the system trusts, where this mapping has no `caFile`.
pub(super) fn system(group: &Mapping) -> Option<Arc<RootCertStore>> {
    if SYSTEM.is_empty() {
        return group.problem("caFile", "is required: the system trusts no authority");
    }
    Some(Arc::clone(&SYSTEM))
}
