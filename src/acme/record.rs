//! What is known of a certificate from one process to the next: what was issued, and what was
//! tried, so that a process that starts again and again does not try again and again.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::CertificateIdentifier;
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, Der};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::folder;
use super::schedule;
use crate::config::model::{Acme, file_name};
use crate::os::random::chance;

/// What was tried. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Record {
    /// Where the certificate is from.
    pub(super) directory: String,
    /// The settings with which it was tried.
    pub(super) settings: String,
    /// How many attempts have failed in a row; one that is under way counts.
    pub(super) failures: u32,
    /// Before this nothing is tried.
    pub(super) next_attempt: u64,
    /// When it was issued last.
    pub(super) issued: Option<u64>,
    /// Why the last attempt failed.
    pub(super) error: Option<String>,
    /// Which certificate the following is about.
    pub(super) certificate: String,
    /// When it is to be renewed.
    pub(super) renewal: u64,
    /// When its directory is to be asked again about that.
    pub(super) ask: u64,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Issued {
    /// The SHA-256 of it, in hex.
    pub(super) digest: String,
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
    pub(super) names: Vec<String>,
    /// What it is called in questions about its renewal (RFC 9773 section 4.1).
    pub(super) id: Option<CertificateIdentifier<'static>>,
}

/// All that is known of a certificate.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) record: Record,
    pub(super) issued: Option<Issued>,
}

impl Record {
    /// The file of a certificate's record.
    pub(super) fn file(name: &str) -> String {
        format!("{}.json", file_name(name))
    }

    /// As it is kept.
    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

impl Known {
    /// Reads what is known. What cannot be read is not known.
    pub(super) fn read(name: &str, acme: &Acme) -> Self {
        let file = acme.state_directory.join(Record::file(name));
        let text = folder::read(&file).ok().flatten();
        let record = text.and_then(|text| serde_json::from_slice(&text).ok());
        let pem = folder::read(&acme.file(name)).ok().flatten();
        let mut known = Known {
            record: record.unwrap_or_default(),
            issued: pem.and_then(|pem| Issued::of(&pem)),
        };
        let record = &mut known.record;
        if record.settings != settings(acme) {
            // They were changed since: what failed then may not fail now.
            (record.failures, record.next_attempt, record.error) = (0, 0, None);
        }
        if let Some(issued) = known.issued.as_ref()
            && issued.digest != record.certificate
        {
            record.certificate.clone_from(&issued.digest);
            record.renewal = seconds(schedule::renewal(issued.from, issued.to, chance()));
            record.ask = 0;
        }
        known
    }

    /// When the certificate is to be ordered.
    pub(super) fn due(&self, acme: &Acme) -> SystemTime {
        let wanted = match &self.issued {
            Some(issued) if self.is_of(acme) && issued.is_for(&acme.names) => self.record.renewal,
            _ => 0,
        };
        moment(wanted.max(self.record.next_attempt))
    }

    /// Whether it is from the directory that is asked now; one that somebody has put there is.
    fn is_of(&self, acme: &Acme) -> bool {
        let directory = &self.record.directory;
        directory.is_empty() || *directory == acme.directory
    }
}

impl Issued {
    /// What the first certificate in a file says.
    pub(super) fn of(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let validity = certificate.validity();
        Some(Issued {
            digest: hex(digest(&SHA256, &der).as_ref()),
            from: time(&validity.not_before),
            to: time(&validity.not_after),
            names: names(&certificate),
            id: id(&certificate),
        })
    }

    /// Whether it is for these names, and no others.
    fn is_for(&self, names: &[String]) -> bool {
        names.len() == self.names.len() && names.iter().all(|name| self.names.contains(name))
    }
}

/// What an order depends on, in hex.
pub(super) fn settings(acme: &Acme) -> String {
    let key_id = acme
        .external_account
        .as_ref()
        .map(|account| &account.key_id);
    let told = format!(
        "{:?}",
        (&acme.names, &acme.directory, &acme.challenge, key_id)
    );
    hex(digest(&SHA256, told.as_bytes()).as_ref())
}

/// Seconds since 1970.
pub(super) fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// So many seconds after 1970, or the last moment that there is a date for.
pub(super) fn moment(seconds: u64) -> SystemTime {
    const LAST: u64 = 253_402_300_799;
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // A string takes all.
        write!(text, "{byte:02x}").ok();
    }
    text
}

fn time(time: &ASN1Time) -> SystemTime {
    moment(u64::try_from(time.timestamp()).unwrap_or(0))
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

fn id(certificate: &X509Certificate) -> Option<CertificateIdentifier<'static>> {
    let mut extensions = certificate.extensions().iter();
    let authority = extensions.find_map(|one| match one.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = certificate.tbs_certificate.raw_serial();
    let id = CertificateIdentifier::new(Der::from_slice(authority.0), Der::from_slice(serial));
    Some(id.into_owned())
}
