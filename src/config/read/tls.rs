//! TLS on a forwarding rule: `serverCertificates`, and the keys that go with them.

use std::collections::HashSet;

use super::super::model::{Tls, TlsVersion};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::none_named;
use super::{client_certificates, defaults};

const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// `certificates` are the names that there are. Without any in `serverCertificates` there is no
/// TLS.
pub(super) fn read(mapping: &Mapping, certificates: &HashSet<&str>) -> Option<Option<Tls>> {
    let mut names = Unique::new("certificate");
    let named = mapping.or("serverCertificates", Vec::new(), |list| {
        list.each(|node| certificate(&node, certificates, &mut names))
    });
    let min_version = mapping.or("minTlsVersion", defaults::MIN_TLS_VERSION, version);
    let strict_sni = mapping.or("strictSni", defaults::STRICT_SNI, Node::boolean);
    let http2 = mapping.or("http2", defaults::HTTP2, Node::boolean);
    let client_certificates = mapping.or("clientCertificates", None, |node| {
        client_certificates::read(node).map(Some)
    });
    if named.as_ref().is_some_and(Vec::is_empty) {
        mapping.forbidden("clientCertificates", "needs serverCertificates");
    }
    let tls = Tls {
        certificates: named?,
        min_version: min_version?,
        strict_sni: strict_sni?,
        http2: http2?,
        client_certificates: client_certificates?,
    };
    if tls.certificates.is_empty() {
        warn_of_no_effect(&tls, mapping);
        return Some(None);
    }
    Some(Some(tls))
}

fn certificate(
    node: &Node,
    certificates: &HashSet<&str>,
    names: &mut Unique<String>,
) -> Option<String> {
    let name = node.name(names)?;
    if !certificates.contains(name.as_str()) {
        return node.problem(none_named(
            "certificate",
            &name,
            certificates.iter().copied(),
        ));
    }
    Some(name)
}

/// In quotes, for 1.10 would be the number 1.1.
fn version(node: &Node) -> Option<TlsVersion> {
    node.string()?;
    node.choice(VERSIONS, &[])
}

fn warn_of_no_effect(tls: &Tls, mapping: &Mapping) {
    for (key, is_set) in [
        (
            "minTlsVersion",
            tls.min_version != defaults::MIN_TLS_VERSION,
        ),
        ("strictSni", tls.strict_sni != defaults::STRICT_SNI),
        ("http2", tls.http2 != defaults::HTTP2),
    ] {
        if is_set {
            mapping.warning(key, "has no effect without serverCertificates");
        }
    }
}
