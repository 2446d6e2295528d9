//! Certificates of Secrets, and authorities of ConfigMaps and Secrets: from bytes to what a
//! handshake needs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::grants::{Grants, Referrer};
use super::objects::{GROUP, Name, Reference, Secret};
use super::store::Store;
use crate::config::model::{Authorities, Certificate, Source};

/// Why a reference is to nothing that can be used: the reason of a condition, and words.
pub(super) type Fault = (&'static str, String);

/// The certificate and key of a Secret; or what is wrong with it.
pub(super) fn of_secret(secret: &Secret) -> Result<Certificate, String> {
    if &*secret.kind != "kubernetes.io/tls" {
        return Err(format!(
            "its type is {}, not kubernetes.io/tls",
            secret.kind
        ));
    }
    let part = |key: &str| {
        secret
            .data
            .get(key)
            .ok_or_else(|| format!("it has no {key}"))
    };
    let chain = certificates(part("tls.crt")?).map_err(|fault| format!("tls.crt {fault}"))?;
    let key = PrivateKeyDer::from_pem_slice(part("tls.key")?);
    let key = key.map_err(|_| "tls.key has no private key in PEM that can be read".to_owned())?;
    let key = any_supported_type(&key);
    let key = key.map_err(|_| "tls.key is of a kind that cannot be used".to_owned())?;
    let (names, not_after) = {
        let (_, first) = X509Certificate::from_der(&chain[0])
            .map_err(|_| "tls.crt has a malformed certificate".to_owned())?;
        let end = u64::try_from(first.validity().not_after.timestamp()).unwrap_or(0);
        (names(&first), UNIX_EPOCH + Duration::from_secs(end))
    };
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => return Err("tls.key is not the key of the first certificate".to_owned()),
    }
    Ok(Certificate {
        source: Source::Gateway(format!("Secret {}", secret.meta.name).into()),
        name: secret.meta.name.to_string(),
        files: None,
        acme: None,
        stands_in: false,
        key: Arc::new(key),
        names,
        not_after: not_after.max(SystemTime::UNIX_EPOCH),
    })
}

fn names(certificate: &X509Certificate) -> Vec<String> {
    let found = certificate.subject_alternative_name().ok().flatten();
    let general = found.iter().flat_map(|found| &found.value.general_names);
    let dns = general.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

/// The certificates in a text, at least one; or what is wrong, to follow the name of the text.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| "is not PEM".to_owned())?;
    if found.is_empty() {
        return Err("has no certificate in PEM".to_owned());
    }
    let is_whole = |der: &CertificateDer| matches!(X509Certificate::from_der(der), Ok(([], _)));
    match found.iter().all(is_whole) {
        true => Ok(found),
        false => Err("has a malformed certificate".to_owned()),
    }
}

/// The reasons that an object uses for references that cannot be used.
pub(super) struct Reasons {
    /// To what is not there, or is broken.
    pub(super) invalid: &'static str,
    /// To another kind.
    pub(super) kind: &'static str,
}

/// From which Gateway or policy a reference is.
pub(super) fn referrer<'a>(kind: &'a str, name: &'a Name) -> Referrer<'a> {
    Referrer {
        group: GROUP,
        kind,
        namespace: &name.namespace,
    }
}

/// The Secret that is referred to.
pub(super) fn secret<'a>(
    reference: &Reference,
    from: Referrer,
    store: &'a Store,
    grants: &Grants,
    reasons: &Reasons,
) -> Result<&'a Arc<Secret>, Fault> {
    if !reference.is_to("", "Secret") {
        let message = format!("{} is no Secret", shown(reference));
        return Err((reasons.kind, message));
    }
    let name = target(reference, from);
    check_grant(reference, &name, from, grants)?;
    let found = store.secrets.get(&name);
    found.ok_or_else(|| (reasons.invalid, format!("there is no Secret {name}")))
}

/// Those who vouch: the key `ca.crt` of each of what is referred to, a ConfigMap or a Secret; and
/// what is wrong with the first that cannot be used. There are none where none can.
pub(super) fn authorities(
    references: &[Reference],
    from: Referrer,
    store: &Store,
    grants: &Grants,
    reasons: &Reasons,
) -> (Option<Authorities>, Option<Fault>) {
    let mut roots = RootCertStore::empty();
    let (mut all, mut first) = (Vec::new(), None);
    for reference in references {
        let bundle = bundle(reference, from, store, grants, reasons);
        let added = bundle.and_then(|bundle| {
            for certificate in &bundle {
                let added = roots.add(certificate.clone());
                added.map_err(|error| (reasons.invalid, format!("ca.crt: {error}")))?;
            }
            Ok(bundle)
        });
        match added {
            Ok(bundle) => all.extend(bundle),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    let authorities = (!all.is_empty()).then(|| Authorities {
        certificates: all,
        roots: Arc::new(roots),
    });
    (authorities, first)
}

fn bundle(
    reference: &Reference,
    from: Referrer,
    store: &Store,
    grants: &Grants,
    reasons: &Reasons,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let name = target(reference, from);
    let is_secret = reference.is_to("", "Secret");
    if !is_secret && !reference.is_to("", "ConfigMap") {
        let message = format!("{} is neither a ConfigMap nor a Secret", shown(reference));
        return Err((reasons.kind, message));
    }
    check_grant(reference, &name, from, grants)?;
    let what = format!("{} {name}", reference.kind);
    let missing = || (reasons.invalid, format!("there is no {what}"));
    let pem = match is_secret {
        true => {
            let secret = store.secrets.get(&name).ok_or_else(missing)?;
            secret.data.get("ca.crt").map(|bytes| &bytes[..])
        }
        false => {
            let map = store.config_maps.get(&name).ok_or_else(missing)?;
            map.data.get("ca.crt").map(String::as_bytes)
        }
    };
    let pem = pem.ok_or_else(|| (reasons.invalid, format!("{what} has no ca.crt")))?;
    certificates(pem).map_err(|fault| (reasons.invalid, format!("{what}: ca.crt {fault}")))
}

fn target(reference: &Reference, from: Referrer) -> Name {
    let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
    Name::new(namespace, &reference.name)
}

fn check_grant(
    reference: &Reference,
    to: &Name,
    from: Referrer,
    grants: &Grants,
) -> Result<(), Fault> {
    match grants.allow(from, &reference.group, &reference.kind, to) {
        true => Ok(()),
        false => Err((
            "RefNotPermitted",
            format!("no ReferenceGrant allows {} {to}", reference.kind),
        )),
    }
}

/// `group/Kind name`
fn shown(reference: &Reference) -> String {
    match &*reference.group {
        "" => format!("{} {}", reference.kind, reference.name),
        group => format!("{group}/{} {}", reference.kind, reference.name),
    }
}
