//! `api.store`: where what clients write is kept, with what is in the files that go with it.

use std::collections::HashSet;
use std::path::PathBuf;

use http::Uri;
use rustls::pki_types::{CertificateDer, ServerName};

use super::super::model::{Etcd, Store, User};
use super::super::tree::{Mapping, Node};
use super::super::words::none_named;
use super::{defaults, host_name, operators, secret_keys, target_tls};

pub(super) const KEYS: &[&str] = &[
    "type",
    "path",
    "endpoints",
    "prefix",
    "caFile",
    "certificate",
    "user",
    "passwordFile",
    "node",
    "sealingKeyFile",
];

#[derive(Clone, Copy)]
enum Kind {
    File,
    Etcd,
}

const KINDS: &[(&str, Kind)] = &[("FILE", Kind::File), ("ETCD", Kind::Etcd)];
const LONGEST_PASSWORD: u64 = 4096;

/// `certificates` are the names that there are.
pub(super) fn read(node: &Node, certificates: &HashSet<&str>) -> Option<Store> {
    let mapping = node.mapping(KEYS)?;
    let kind = mapping.required("type", |node| node.choice(KINDS, &[]));
    let path = mapping.required("path", Node::path_of_file);
    match kind? {
        Kind::Etcd => etcd(&mapping, path, certificates),
        Kind::File => {
            for key in &KEYS[2..] {
                mapping.forbidden(key, "is only for type ETCD");
            }
            path.map(Store::File)
        }
    }
}

fn etcd(store: &Mapping, path: Option<PathBuf>, certificates: &HashSet<&str>) -> Option<Store> {
    if cfg!(not(feature = "etcd")) {
        return store.problem(
            "type",
            "ETCD: this culvert is built without the feature etcd",
        );
    }
    let endpoints = store.required("endpoints", |list| list.each(|node| endpoint(&node)));
    let prefix = store.or("prefix", defaults::ETCD_PREFIX.to_owned(), prefix);
    let authorities = store.or("caFile", Vec::new(), |node| {
        target_tls::authorities(node).map(|found| found.certificates)
    });
    let certificate = store.or("certificate", None, |node| {
        certificate(node, certificates).map(Some)
    });
    let user = user(store);
    let name = match store.get("node") {
        Some(node) => node_name(&node),
        None => own_name(store),
    };
    let sealing_keys = store.or("sealingKeyFile", Vec::new(), secret_keys::sealing);
    let (endpoints, authorities) = (endpoints?, authorities?);
    check(store, &endpoints, &authorities)?;
    Some(Store::Etcd(Box::new(Etcd {
        path: path?,
        endpoints,
        prefix: prefix?,
        authorities,
        certificate: certificate?,
        user: user?,
        node: name?,
        sealing_keys: sealing_keys?,
    })))
}

fn check(
    store: &Mapping,
    endpoints: &[String],
    authorities: &[CertificateDer<'static>],
) -> Option<()> {
    if endpoints.is_empty() {
        return store.problem("endpoints", "must name at least one");
    }
    let is_tls = endpoints.iter().any(|one| one.starts_with("https://"));
    match is_tls && authorities.is_empty() {
        true => store.problem("caFile", "is required where an endpoint is https"),
        false => Some(()),
    }
}

/// A URL of a host and a port, and nothing else.
fn endpoint(node: &Node) -> Option<String> {
    let text = node.string()?;
    let uri = text.parse().ok().filter(is_endpoint);
    match uri {
        Some(_) => Some(text.to_owned()),
        None => node.wrong("http://HOST:PORT or https://HOST:PORT"),
    }
}

fn is_endpoint(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    let has_port = authority.as_str().len() > authority.host().len();
    matches!(uri.scheme_str(), Some("http" | "https"))
        && (uri.path(), uri.query()) == ("/", None)
        && !authority.as_str().contains('@')
        && has_port == authority.port_u16().is_some()
        && ServerName::try_from(host).is_ok()
}

fn prefix(node: &Node) -> Option<String> {
    let prefix = node.text()?;
    match prefix.ends_with('/') {
        true => Some(prefix.to_owned()),
        false => node.problem("must end with a slash"),
    }
}

fn certificate(node: &Node, known: &HashSet<&str>) -> Option<String> {
    let name = node.string()?;
    match known.contains(name) {
        true => Some(name.to_owned()),
        false => node.problem(none_named("certificate", name, known.iter().copied())),
    }
}

/// Both, or neither.
fn user(store: &Mapping) -> Option<Option<User>> {
    let name = store.or("user", None, |node| node.text().map(Some));
    let password = store.or("passwordFile", None, |node| password(node).map(Some));
    match (name?, password?) {
        (Some(name), Some(password)) => {
            let (name, password) = (name.into(), password.into());
            Some(Some(User { name, password }))
        }
        (Some(_), None) => store.problem("passwordFile", "is required with user"),
        (None, Some(_)) => store.problem("user", "is required with passwordFile"),
        (None, None) => Some(None),
    }
}

fn password(node: &Node) -> Option<String> {
    let path = node.path_of_file()?;
    let content = operators::content(node, &path, LONGEST_PASSWORD)?;
    let text = String::from_utf8(content).ok();
    let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    match text.filter(|text| !text.is_empty()) {
        Some(text) => Some(text),
        None => node.problem(format!("{}: must hold a password", path.display())),
    }
}

fn node_name(node: &Node) -> Option<String> {
    let name = node.string()?;
    match is_name(name) {
        true => Some(name.to_owned()),
        false => node.wrong("1 to 253 visible ASCII characters without a slash"),
    }
}

fn own_name(store: &Mapping) -> Option<String> {
    let name = host_name::read();
    match is_name(&name) {
        true => Some(name),
        false => store.problem("node", "is required: this machine has no name"),
    }
}

fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    (1..=253).contains(&name.len()) && name.bytes().all(is_good)
}
