//! `acme` of an entry of `certificates`: who issues it, and how it is shown that the names are
//! ours.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

/// `acme`
#[derive(Debug, Clone)]
pub struct Acme {
    /// `names`: DNS names in lower case, at least one, each once; the first label may be `*` with
    /// DNS-01.
    pub names: Vec<String>,
    /// `directory`: a URL that begins with `https://`.
    pub directory: String,
    /// `caFile`: the certificates in it. Default: those that the system trusts.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// These certificates, or the system's, as what the directory is verified with.
    pub roots: Arc<RootCertStore>,
    /// `contact`: URLs, `mailto:` mostly. Default: none.
    pub contact: Vec<String>,
    /// `stateDirectory`: where keys, certificates and what was tried are kept.
    pub state_directory: PathBuf,
    /// `challenge`, with the command of DNS-01.
    pub challenge: Challenge,
    /// `externalAccountBinding`. Default: none.
    pub external_account: Option<ExternalAccount>,
    /// `peers`: plain HTTP listeners of other nodes, which may know a token that is not known here.
    pub peers: Vec<SocketAddr>,
}

/// How it is shown that a name is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// `HTTP-01`: by an answer on plain HTTP (RFC 8555 section 8.3).
    Http,
    /// `TLS-ALPN-01`: by a certificate in a TLS handshake (RFC 8737).
    TlsAlpn,
    /// `DNS-01`: by a record in DNS (RFC 8555 section 8.4), which this command makes.
    Dns(DnsCommand),
}

/// What makes and removes records of DNS-01.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsCommand {
    /// `command`: the path of a program, and what it is told first.
    pub words: Vec<String>,
    /// `commandTimeout`: how long it may take each time.
    pub timeout: Duration,
}

/// `externalAccountBinding`: an account that is there already (RFC 8555 section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// `keyId`
    pub key_id: String,
    /// What is in `keyFile`, decoded.
    pub key: Zeroizing<Vec<u8>>,
}

impl Acme {
    /// The file with the certificate of this name and its key.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state_directory
            .join(format!("{}.pem", file_name(name)))
    }
}

impl Challenge {
    /// As it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            Challenge::Http => "HTTP-01",
            Challenge::TlsAlpn => "TLS-ALPN-01",
            Challenge::Dns(_) => "DNS-01",
        }
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ExternalAccount");
        shown.field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A name as it is called in a folder: one for each, and never a path.
pub fn file_name(name: &str) -> String {
    let mut text = String::new();
    for (place, byte) in name.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        match is_plain || byte == b'.' && place > 0 {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder_and_no_two_to_the_same_file() {
        for (name, file) in [
            ("chat", "chat"),
            ("chat.example.com", "chat.example.com"),
            ("..", "%2E."),
            ("../key", "%2E.%2Fkey"),
            ("a b", "a%20b"),
            ("a%20b", "a%2520b"),
            ("größe", "gr%C3%B6%C3%9Fe"),
        ] {
            assert_eq!(file_name(name), file);
        }
    }
}
