//! An entry of `certificates`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

use super::{Acme, Source};

/// An entry of `certificates`, with what is in its files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Who has said so.
    pub source: Source,
    /// `name`: unique among the certificates.
    pub name: String,
    /// `certificateChain` and `privateKey`: where they are, to be read again when they change;
    /// `None` where they are in no files. With `acme` both are in one, which may not be there yet.
    pub files: Option<CertificateFiles>,
    /// `acme`: who issues it. Default: nobody; it is in files of others.
    pub acme: Option<Arc<Acme>>,
    /// Whether it is one of our own that stands in until the first was issued.
    pub stands_in: bool,
    /// What is in them: the key is that of the first certificate.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that the certificate is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// When it expires; not before 1970. One that stands in has expired since it was made.
    pub not_after: SystemTime,
}

/// The files of an entry of `certificates`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// `certificateChain`
    pub chain: PathBuf,
    /// `privateKey`
    pub key: PathBuf,
}
