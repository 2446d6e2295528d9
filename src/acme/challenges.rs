//! What those are answered with who ask whether a name is ours: the authority, on plain HTTP or in
//! a TLS handshake, while a certificate is ordered.
//!
//! Tokens of this process are in memory. One that is not may be of another process with the same
//! folder, or of a peer; there it is looked for before anything is decided, by few at a time, since
//! anybody may ask for anything.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::peers;
use crate::config::Config;
use crate::config::model::Challenge;

/// The protocol of TLS-ALPN-01 (RFC 8737 section 6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";
/// Where tokens are asked for (RFC 8555 section 8.3).
const PREFIX: &[u8] = b"/.well-known/acme-challenge/";
/// The folder of tokens, in the state directory.
pub(super) const FOLDER: &str = "challenges";
const LONGEST_TOKEN: usize = 128;
const LONGEST_ANSWER: u64 = 512;
/// How many requests may look elsewhere at a time.
const MOST_SEEKERS: usize = 8;
/// How long one waits for that.
const TURN: Duration = Duration::from_secs(2);
/// How long what was found elsewhere is known: an authority asks several times, within seconds.
const KNOWN: Duration = Duration::from_secs(10);
const MOST_KNOWN: usize = 256;

/// What challenges are answered with.
pub struct Challenges {
    tokens: RwLock<HashMap<String, Bytes>>,
    /// What was found elsewhere.
    found: Mutex<HashMap<String, (Bytes, Instant)>>,
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    elsewhere: ArcSwap<Elsewhere>,
    seekers: Semaphore,
}

/// Where a token may be that is not here.
#[derive(Default, PartialEq)]
struct Elsewhere {
    folders: Vec<PathBuf>,
    peers: Vec<SocketAddr>,
}

impl Default for Challenges {
    fn default() -> Self {
        Challenges {
            tokens: RwLock::default(),
            found: Mutex::default(),
            certificates: RwLock::default(),
            elsewhere: ArcSwap::default(),
            seekers: Semaphore::new(MOST_SEEKERS),
        }
    }
}

impl Challenges {
    /// From now on tokens are looked for where this configuration says.
    pub fn follow(&self, config: &Config) {
        let mut elsewhere = Elsewhere::default();
        let all = config
            .certificates
            .iter()
            .filter_map(|one| one.acme.as_ref());
        let mut seen = HashSet::new();
        for acme in all.filter(|acme| acme.challenge == Challenge::Http) {
            let folder = acme.state_directory.join(FOLDER);
            if !elsewhere.folders.contains(&folder) {
                elsewhere.folders.push(folder);
            }
            let peers = acme.peers.iter().filter(|peer| seen.insert(**peer));
            elsewhere.peers.extend(peers);
        }
        self.elsewhere.store(Arc::new(elsewhere));
    }

    /// The answer to a request for this path, if it asks for a token that is known.
    pub fn answer(&self, path: &[u8]) -> Option<Bytes> {
        let token = token(path)?;
        if let Some(answer) = self.tokens.read().get(token) {
            return Some(answer.clone());
        }
        let found = self.found.lock();
        let (answer, _) = found
            .get(token)
            .filter(|(_, until)| *until > Instant::now())?;
        Some(answer.clone())
    }

    /// Looks elsewhere for the token that a path asks for, if it is not known here: in the folders,
    /// and at the peers unless a peer asks.
    pub async fn seek(&self, path: &[u8], is_peer: bool) {
        let Some(token) = token(path) else {
            return;
        };
        let elsewhere = self.elsewhere.load_full();
        if *elsewhere == Elsewhere::default() || self.answer(path).is_some() {
            return;
        }
        // In turn: whoever asks for anything at all must not keep the authority from its answer.
        let Ok(Ok(_place)) = timeout(TURN, self.seekers.acquire()).await else {
            return;
        };
        let mut found = in_folders(&elsewhere.folders, token).await;
        if found.is_none() && !is_peer {
            found = peers::ask(&elsewhere.peers, token).await;
        }
        if let Some(answer) = found.filter(|answer| fits(answer, token)) {
            let now = Instant::now();
            let mut found = self.found.lock();
            found.retain(|_, (_, until)| *until > now);
            if found.len() < MOST_KNOWN {
                found.insert(token.to_owned(), (answer, now + KNOWN));
            }
        }
    }

    /// What a client is shown that asks by the protocol of the challenge, and `None` of another.
    pub fn shown(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut offered = hello.alpn()?;
        if !offered.any(|name| name == PROTOCOL) {
            return None;
        }
        let name = hello.server_name().unwrap_or_default();
        let certificates = self.certificates.read();
        Some(certificates.get(&name.to_ascii_lowercase()).cloned())
    }
}

#[cfg(feature = "acme")]
impl Challenges {
    /// Answers with this who asks for the token.
    pub(super) fn put_token(&self, token: &str, answer: &str) {
        let answer = Bytes::copy_from_slice(answer.as_bytes());
        self.tokens.write().insert(token.to_owned(), answer);
    }

    /// Shows this to who asks by the protocol of the challenge for the name.
    pub(super) fn put_certificate(&self, name: &str, key: Arc<CertifiedKey>) {
        self.certificates.write().insert(name.to_owned(), key);
    }

    /// Forgets a token.
    pub(super) fn take_token(&self, token: &str) {
        self.tokens.write().remove(token);
    }

    /// Forgets what is shown for a name.
    pub(super) fn take_certificate(&self, name: &str) {
        self.certificates.write().remove(name);
    }
}

/// The token that a path asks for; it is safe as a file's name.
fn token(path: &[u8]) -> Option<&str> {
    let token = std::str::from_utf8(path.strip_prefix(PREFIX)?).ok()?;
    is_token(token).then_some(token)
}

/// Whether a text is a token (RFC 8555 section 8.3): base64url.
pub(super) fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether this is a key authorization of the token (RFC 8555 section 8.1).
fn fits(answer: &[u8], token: &str) -> bool {
    let rest = answer.strip_prefix(token.as_bytes());
    let thumbprint = rest.and_then(|rest| rest.strip_prefix(b"."));
    let thumbprint = thumbprint.and_then(|text| std::str::from_utf8(text).ok());
    thumbprint.is_some_and(is_token)
}

async fn in_folders(folders: &[PathBuf], token: &str) -> Option<Bytes> {
    let paths: Vec<_> = folders.iter().map(|folder| folder.join(token)).collect();
    let read = move || paths.iter().find_map(|path| read_answer(path));
    spawn_blocking(read).await.ok().flatten()
}

fn read_answer(path: &Path) -> Option<Bytes> {
    let mut answer = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LONGEST_ANSWER).read_to_end(&mut answer).ok()?;
    Some(answer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    fn path(token: &str) -> Vec<u8> {
        [PREFIX, token.as_bytes()].concat()
    }

    #[test]
    fn only_tokens_are_asked_for() {
        let challenges = Challenges::default();
        let answer = Bytes::from("answer");
        challenges.tokens.write().insert(TOKEN.to_owned(), answer);
        assert_eq!(challenges.answer(&path(TOKEN)).unwrap(), "answer");
        let long = "a".repeat(LONGEST_TOKEN + 1);
        for other in ["", "../key", "a/b", "a.b", "%2e", &long, "LoqX"] {
            assert_eq!(challenges.answer(&path(other)), None, "{other}");
        }
        assert_eq!(challenges.answer(TOKEN.as_bytes()), None);
        challenges.tokens.write().clear();
        assert_eq!(challenges.answer(&path(TOKEN)), None);
    }

    #[tokio::test]
    async fn a_token_of_another_process_is_found_in_the_folder_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let challenges = Challenges::default();
        challenges.elsewhere.store(Arc::new(Elsewhere {
            folders: vec![folder.path().to_owned()],
            peers: Vec::new(),
        }));
        std::fs::write(folder.path().join("secret"), "key of a certificate").unwrap();
        let good = format!("{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI");
        std::fs::write(folder.path().join(TOKEN), &good).unwrap();
        for (token, expected) in [("secret", None), (TOKEN, Some(good)), ("absent", None)] {
            challenges.seek(&path(token), false).await;
            let answer = challenges.answer(&path(token));
            assert_eq!(answer, expected.map(Bytes::from), "{token}");
        }
    }
}
