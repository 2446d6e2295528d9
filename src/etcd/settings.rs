//! Where etcd is, who asks, and how long and how much anything may be.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;

/// The port of an endpoint that names none.
const PORT: u16 = 2379;

/// What a [`Client`](super::Client) is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Any of them will do; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Whom the certificates of `https` endpoints must come from.
    pub roots: Arc<RootCertStore>,
    /// What is shown to endpoints that ask for a certificate. Default: nothing.
    pub certificate: Option<Arc<CertifiedKey>>,
    /// Who asks. Default: nobody, where etcd authenticates nobody.
    pub user: Option<User>,
    /// How long anything may take.
    pub times: Times,
    /// How large anything may be.
    pub bounds: Bounds,
}

impl Settings {
    /// Those endpoints, without TLS or a user, and with the default times and bounds.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Settings {
            endpoints,
            roots: Arc::new(RootCertStore::empty()),
            certificate: None,
            user: None,
            times: Times::default(),
            bounds: Bounds::default(),
        }
    }
}

/// A user of etcd. The password does not show in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Box<str>,
    /// Its password.
    pub password: Box<str>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// How long anything may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Connecting to one endpoint, TLS with it. Default: 2 s.
    pub connect: Duration,
    /// The whole answer of one endpoint. Default: 5 s.
    pub answer: Duration,
    /// From the first try until no other round of all endpoints begins, where members answer that
    /// they have no leader just now. Default: 5 s.
    pub whole: Duration,
    /// How long a watch may say nothing until it is taken for dead, and goes on at the next
    /// endpoint. Default: 30 s.
    pub silence: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(5),
            whole: Duration::from_secs(5),
            silence: Duration::from_secs(30),
        }
    }
}

/// How many bytes anything may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// One answer, and one message of a watch, as JSON. Default: 16 MiB.
    pub answer: usize,
    /// The keys and values under one prefix. Default: 64 MiB.
    pub prefix: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            answer: 16 << 20,
            prefix: 64 << 20,
        }
    }
}

/// Where a member of etcd takes requests: `http://HOST:PORT` or `https://HOST:PORT`, 2379 without a
/// port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// What its certificate must be for; `None` without TLS.
    pub(super) server_name: Option<ServerName<'static>>,
    /// The header `Host`.
    pub(super) authority: HeaderValue,
}

impl FromStr for Endpoint {
    type Err = String;

    /// Errors say what it must be.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be http://HOST:PORT or https://HOST:PORT, not {text:?}");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (scheme, authority) = uri.scheme().zip(uri.authority()).ok_or_else(wrong)?;
        let is_tls = *scheme == Scheme::HTTPS;
        let has_more = uri.path() != "/" || uri.query().is_some();
        if has_more || authority.as_str().contains('@') || !is_tls && *scheme != Scheme::HTTP {
            return Err(wrong());
        }
        let host = bare(authority);
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        Ok(Endpoint {
            text: format!("{scheme}://{authority}"),
            host,
            port: port(authority).ok_or_else(wrong)?,
            server_name: is_tls.then_some(name),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bare(authority: &Authority) -> String {
    let host = authority.host();
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).to_owned()
}

/// `None` for one that is no port.
fn port(authority: &Authority) -> Option<u16> {
    let has_port = authority.as_str().len() > authority.host().len();
    match authority.port_u16() {
        None if has_port => None,
        port => Some(port.unwrap_or(PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, expected) in [
            ("http://10.0.0.1:2380", Some(("10.0.0.1", 2380, false))),
            (
                "https://etcd-1.internal/",
                Some(("etcd-1.internal", 2379, true)),
            ),
            (
                "https://[2001:db8::1]:2379",
                Some(("2001:db8::1", 2379, true)),
            ),
            ("ftp://10.0.0.1:2379", None),
            ("10.0.0.1:2379", None),
            ("http://10.0.0.1:2379/v3", None),
            ("http://10.0.0.1:2379?a", None),
            ("http://a@b:2379", None),
            ("http://10.0.0.1:99999", None),
            ("http://a b", None),
            ("", None),
        ] {
            let endpoint: Option<Endpoint> = text.parse().ok();
            let found = endpoint.as_ref().map(|endpoint| {
                let is_tls = endpoint.server_name.is_some();
                (endpoint.host.as_str(), endpoint.port, is_tls)
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_message_never_has_the_password() {
        let user = User {
            name: "culvert".into(),
            password: "secret".into(),
        };
        assert_eq!(format!("{user:?}"), "User(culvert)");
    }
}
