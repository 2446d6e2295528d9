//! `acme` of an entry of `certificates`, and the certificate that is served: the last that was
//! issued, or one of our own that stands in until there is one.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Uri;
use rustls::pki_types::DnsName;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::model::{
    Acme, Certificate, CertificateFiles, Challenge, ClientCertificateMode, Config, DnsCommand,
    ExternalAccount, ForwardingRule, Source,
};
use super::super::tree::{Findings, Mapping, Node};
use super::super::unique::Unique;
use super::super::words::quoted;
use super::{certificate, defaults, operators, target_tls};

pub(super) const KEYS: &[&str] = &[
    "names",
    "directory",
    "caFile",
    "contact",
    "stateDirectory",
    "challenge",
    "command",
    "commandTimeout",
    "externalAccountBinding",
    "peers",
];
pub(super) const ACCOUNT_KEYS: &[&str] = &["keyId", "keyFile"];

/// What directories take at most for one certificate.
const MOST_NAMES: usize = 100;
const MOST_PEERS: usize = 64;
const LARGEST_KEY: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    TlsAlpn,
    Dns,
}

const KINDS: &[(&str, Kind)] = &[
    ("HTTP-01", Kind::Http),
    ("TLS-ALPN-01", Kind::TlsAlpn),
    ("DNS-01", Kind::Dns),
];

/// Whether an entry of `certificates` is to be issued.
pub(super) fn is_for(entry: &Node) -> bool {
    entry.value.get("acme").is_some_and(|acme| !acme.is_null())
}

/// Such an entry, with the certificate that is served by now.
pub(super) fn entry(entry: &Node, names: &mut Unique<String>) -> Option<Certificate> {
    let mapping = entry.mapping(certificate::KEYS)?;
    for key in ["certificateChain", "privateKey"] {
        mapping.forbidden(key, "is not for a certificate with acme");
    }
    let name = mapping.required("name", |node| node.name(names));
    mapping.required("acme", |node| issued(node, name))
}

fn issued(node: &Node, name: Option<String>) -> Option<Certificate> {
    if cfg!(not(feature = "acme")) {
        return node.problem("this culvert is built without the feature acme");
    }
    let acme = Arc::new(read(node)?);
    let name = name?;
    let file = acme.file(&name);
    let files = CertificateFiles {
        chain: file.clone(),
        key: file.clone(),
    };
    if let Some(stored) = stored(node, &file) {
        return Some(Certificate {
            name,
            files: Some(files),
            acme: Some(acme),
            ..stored
        });
    }
    let (key, not_after) = match stand_in(&acme.names) {
        Ok(made) => made,
        Err(why) => return node.problem(format!("no certificate can stand in: {why}")),
    };
    Some(Certificate {
        source: Source::File,
        name,
        files: Some(files),
        names: acme.names.clone(),
        acme: Some(acme),
        stands_in: true,
        key,
        not_after,
    })
}

#[cfg(feature = "acme")]
use super::stand_in::stand_in;

#[cfg(not(feature = "acme"))]
fn stand_in(
    _: &[String],
) -> Result<(Arc<rustls::sign::CertifiedKey>, std::time::SystemTime), String> {
    Err("this culvert is built without the feature acme".to_owned())
}

/// What was issued last. What cannot be used is a warning: it is issued again.
fn stored(node: &Node, file: &Path) -> Option<Certificate> {
    if file.symlink_metadata().is_err() {
        return None;
    }
    let pair = json!({"name": "stored", "certificateChain": file, "privateKey": file});
    let findings = Findings::default();
    let names = &mut Unique::new("name");
    let found = certificate::read(Node::at(&pair, "", &findings), names);
    let (problems, _) = findings.into_parts();
    if found.is_none()
        && let Some(problem) = problems.first()
    {
        let (file, message) = (file.display(), &problem.message);
        node.warning(format!(
            "{file}: {message}; a self-signed certificate is served until another is issued"
        ));
    }
    found
}

fn read(node: &Node) -> Option<Acme> {
    let mapping = node.mapping(KEYS)?;
    let kind = mapping.or("challenge", Kind::Http, |node| node.choice(KINDS, &[]));
    let names = mapping.required("names", |node| names(node, kind));
    let directory = mapping.or("directory", defaults::ACME_DIRECTORY.to_owned(), directory);
    let authorities = mapping.or("caFile", None, |node| {
        target_tls::authorities(node).map(Some)
    });
    let contact = mapping.or("contact", Vec::new(), |list| {
        list.each(|node| contact(&node))
    });
    let state_directory = mapping.or(
        "stateDirectory",
        defaults::ACME_STATE_DIRECTORY.into(),
        Node::path_of_file,
    );
    let challenge = kind.and_then(|kind| challenge(&mapping, kind));
    let account = mapping.or("externalAccountBinding", None, |node| {
        account(node).map(Some)
    });
    let peers = mapping.or("peers", Vec::new(), peers);
    if kind.is_some_and(|kind| kind != Kind::Http) {
        mapping.forbidden("peers", "is only for challenge HTTP-01");
    }
    let (authorities, roots) = match authorities? {
        Some(found) => (Some(found.certificates), found.roots),
        None => (None, target_tls::system(&mapping)?),
    };
    Some(Acme {
        names: names?,
        directory: directory?,
        authorities,
        roots,
        contact: contact?,
        state_directory: state_directory?,
        challenge: challenge?,
        external_account: account?,
        peers: peers?,
    })
}

fn names(list: &Node, kind: Option<Kind>) -> Option<Vec<String>> {
    let count = list.entries()?.len();
    if !(1..=MOST_NAMES).contains(&count) {
        return list.problem(format!("must have 1 to {MOST_NAMES} entries, not {count}"));
    }
    let mut known = Unique::new("name");
    list.each(|node| {
        let name = node.string()?.to_ascii_lowercase();
        let parent = name.strip_prefix("*.");
        if parent.is_some() && kind.is_some_and(|kind| kind != Kind::Dns) {
            return node.problem("a wildcard needs challenge DNS-01");
        }
        if !is_host(parent.unwrap_or(&name)) {
            return node.wrong("a DNS name of two labels or more, whose first may be *");
        }
        known.enter(name.clone(), &node);
        Some(name)
    })
}

fn is_host(text: &str) -> bool {
    text.contains('.')
        && !text.ends_with('.')
        && !text.contains(['*', '_'])
        && text.parse::<IpAddr>().is_err()
        && DnsName::try_from(text).is_ok()
}

fn directory(node: &Node) -> Option<String> {
    let text = node.string()?;
    let uri = text.parse::<Uri>().ok();
    let is_good = |uri: &Uri| {
        let host = uri.host().unwrap_or_default();
        let user = uri
            .authority()
            .is_some_and(|all| all.as_str().contains('@'));
        uri.scheme_str() == Some("https") && !host.is_empty() && !user
    };
    match uri.filter(is_good) {
        Some(_) => Some(text.to_owned()),
        None => node.wrong("the URL of an ACME directory (\"https://HOST/PATH\")"),
    }
}

fn contact(node: &Node) -> Option<String> {
    let text = node.string()?;
    let address = text.strip_prefix("mailto:").unwrap_or_default();
    match address.contains('@') && address.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Some(text.to_owned()),
        false => node.wrong("mailto: and an address (\"mailto:ops@example.com\")"),
    }
}

fn challenge(mapping: &Mapping, kind: Kind) -> Option<Challenge> {
    if kind != Kind::Dns {
        for key in ["command", "commandTimeout"] {
            mapping.forbidden(key, "is only for challenge DNS-01");
        }
    }
    match kind {
        Kind::Http => Some(Challenge::Http),
        Kind::TlsAlpn => Some(Challenge::TlsAlpn),
        Kind::Dns => {
            let words = mapping.required("command", command);
            let timeout = mapping.or("commandTimeout", defaults::ACME_COMMAND_TIMEOUT, |node| {
                node.duration()
            });
            Some(Challenge::Dns(DnsCommand {
                words: words?,
                timeout: timeout?,
            }))
        }
    }
}

fn command(list: &Node) -> Option<Vec<String>> {
    let words = list.each(|node| node.string().map(str::to_owned))?;
    let is_path = words.first().is_some_and(|word| word.starts_with('/'));
    match is_path && words.iter().all(|word| !word.contains('\0')) {
        true => Some(words),
        false => list.problem("must be a list that begins with the absolute path of a program"),
    }
}

fn account(node: &Node) -> Option<ExternalAccount> {
    let mapping = node.mapping(ACCOUNT_KEYS)?;
    let key_id = mapping.required("keyId", |node| node.text().map(str::to_owned));
    let key = mapping.required("keyFile", account_key);
    Some(ExternalAccount {
        key_id: key_id?,
        key: key?,
    })
}

/// In base64, as authorities give it out: of either alphabet, with padding or without.
fn account_key(node: &Node) -> Option<Zeroizing<Vec<u8>>> {
    let path = node.path_of_file()?;
    let text = Zeroizing::new(operators::content(node, &path, LARGEST_KEY)?);
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| {
        let engine = GeneralPurpose::new(alphabet, config);
        engine.decode(text.trim_ascii()).ok()
    };
    let key = decode(&URL_SAFE).or_else(|| decode(&STANDARD));
    match key.filter(|key| !key.is_empty()) {
        Some(key) => Some(Zeroizing::new(key)),
        None => node.problem(format!("{}: must hold a key in base64", path.display())),
    }
}

fn peers(list: &Node) -> Option<Vec<std::net::SocketAddr>> {
    let count = list.entries()?.len();
    if count > MOST_PEERS {
        return list.problem(format!(
            "must have at most {MOST_PEERS} entries, not {count}"
        ));
    }
    list.each(|node| node.socket_address())
}

/// Says where nobody would answer a challenge.
pub(super) fn check(config: &Config, top: &Mapping) {
    let Some(nodes) = top.get("certificates").and_then(|list| list.entries()) else {
        return;
    };
    // There are forwarding rules that are not in the file.
    let has_others = config.api.is_some() || config.gateway.is_some();
    let rules = &config.forwarding_rules;
    let asks = |rule: &ForwardingRule| {
        let clients = rule
            .tls
            .as_ref()
            .and_then(|tls| tls.client_certificates.as_ref());
        clients.is_some_and(|clients| clients.mode == ClientCertificateMode::Require)
    };
    let mut places = HashSet::new();
    for (certificate, node) in config.certificates.iter().zip(nodes) {
        let Some(acme) = &certificate.acme else {
            continue;
        };
        if !places.insert(acme.file(&certificate.name)) {
            node.problem::<()>(format!(
                "another certificate is kept in the same file: {}",
                quoted(&acme.file(&certificate.name).display().to_string())
            ));
        }
        let mut tls = rules.iter().filter(|rule| rule.tls.is_some());
        let warning = match acme.challenge {
            Challenge::Http if rules.iter().all(|rule| rule.tls.is_some()) => {
                "HTTP-01 is answered on plain HTTP, and no forwarding rule is without \
                 serverCertificates"
            }
            Challenge::TlsAlpn if tls.all(|rule| asks(rule)) => {
                "TLS-ALPN-01 is answered in TLS without client certificates, and no forwarding \
                 rule has that"
            }
            Challenge::Http | Challenge::TlsAlpn | Challenge::Dns(_) => continue,
        };
        if !has_others {
            node.warning_of("acme", warning);
        }
    }
}
