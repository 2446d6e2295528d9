//! What a configuration may say, once it has been checked: plain data, with the defaults filled in.
//!
//! Nothing here knows how the words were written or what they do later. A source makes these
//! values, as `config::read` does from YAML, and every room builds its runtime type from them.
//! Names are those of the file, in snake case. Rules and groups are shared with the configurations
//! before and after, so that one of them is changed without a copy of all.

mod balance;
mod changes;
mod health;
mod limits;
mod names;
mod origin;
mod redirect;
mod target_group;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use regex::bytes::Regex;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

pub use self::balance::{Algorithm, HashKey, Rebalance, SameSite, Stickiness, StickyCookie};
pub use self::changes::{Changes, HeaderChanges, Headers, NewPath, NewValue, Rewrite};
pub use self::health::{
    Check, Expected, HealthCheck, HttpCheck, OnUnhealthy, OutlierDetection, WebSocketCheck,
};
pub use self::limits::{Bounds, Memory, Rate, Rates};
pub use self::names::{NamedTarget, Resolver};
pub use self::origin::AllowedOrigin;
pub use self::redirect::Redirect;
pub use self::target_group::{
    HttpVersion, OwnCertificate, ProxyProtocol, Target, TargetGroup, TargetTls,
};
use super::secret_key::SecretKey;

/// A whole configuration, whatever source made it: a file, or code. Every target group and
/// certificate that a rule names exists, and all names are unique. Durations are from 1 ms to 30
/// days; an IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is here in its IPv4 form.
#[derive(Debug, Clone)]
pub struct Config {
    /// What concerns the process.
    pub server: Server,
    /// The address for operators.
    pub admin: Admin,
    /// The access log.
    pub access_log: AccessLog,
    /// Possibly none.
    pub certificates: Vec<Certificate>,
    /// At least one.
    pub forwarding_rules: Vec<Arc<ForwardingRule>>,
    /// Possibly none, where all rules answer themselves.
    pub target_groups: Vec<Arc<TargetGroup>>,
}

/// `server`
#[derive(Debug, Clone)]
pub struct Server {
    /// `threads`: worker threads, 1 to 1024. Default: one per core.
    pub threads: usize,
    /// `drain`
    pub drain: Drain,
    /// `upgrade`
    pub upgrade: Upgrade,
    /// `upgradeSocket`: the Unix socket over which a new process takes over from this one. Default: none.
    pub upgrade_socket: Option<PathBuf>,
    /// `pidFile`: where the process writes its id. Default: nowhere.
    pub pid_file: Option<PathBuf>,
    /// `sessionTicketKeyFile`: the keys of session tickets, with their file. Default: keys of the process's own.
    pub session_ticket_keys: Option<SessionTicketKeys>,
    /// `stickinessKeyFile`: what is in it, 1 to 8: the first makes sticky cookies, all of them know them. Default: none; the process
    /// has a key of its own.
    pub stickiness_keys: Vec<SecretKey>,
    /// `maxConnections`: how many connections of clients may be open at a time. Default: what the limit of open files allows.
    pub max_connections: Option<usize>,
    /// `memory`
    pub memory: Memory,

    /// `resolver`
    pub resolver: Resolver,
}

/// `server.sessionTicketKeyFile`, with what is in it.
#[derive(Debug, Clone)]
pub struct SessionTicketKeys {
    /// The file, to be read again when it changes; `None` where they are in none.
    pub path: Option<PathBuf>,
    /// 1 to 8: the first seals, all of them open.
    pub keys: Vec<SecretKey>,
}

/// `server.drain`: how a process ends.
#[derive(Debug, Clone)]
pub struct Drain {
    /// `readyDelay`: from `/readyz` saying 503 to the close of the listeners; shorter than `deadline`. Default: 0.
    pub ready_delay: Duration,
    /// `deadline`: by when all that is open is told to end. Default: 30 s.
    pub deadline: Duration,
    /// `rate`: how many tunnels a second are ended at most, before the deadline. Default: as many as it takes.
    pub rate: Option<u32>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain {
            ready_delay: Duration::ZERO,
            deadline: Duration::from_secs(30),
            rate: None,
        }
    }
}

/// `server.upgrade`: how a process hands over to a new one.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// `drainDeadline`: how long the old process keeps its tunnels before it drains. Default: 1 h.
    pub drain_deadline: Duration,
    /// `timeout`: how long each step of the new process may take until it serves. Default: 30 s.
    pub timeout: Duration,
}

impl Default for Upgrade {
    fn default() -> Self {
        Upgrade {
            drain_deadline: Duration::from_secs(60 * 60),
            timeout: Duration::from_secs(30),
        }
    }
}

/// `admin`
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`. Default: 127.0.0.1:9900.
    pub listen: AdminAddress,
    /// `mode`: who may use a Unix socket. Default: 0660.
    pub mode: u32,
    /// `tokenFile`: what a caller has to know. There is one where `listen` is no loopback address. Default: nothing.
    pub token: Option<Token>,
    /// `readOnly`: nothing can be changed. Default: false.
    pub read_only: bool,
    /// `hostNames`: by which names it is called, beside its addresses; in lower case. Default: none.
    pub host_names: Vec<String>,
}

/// Where the admin address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// An address and a port, which no forwarding rule has.
    Tcp(SocketAddr),
    /// `unix:PATH`
    Unix(PathBuf),
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Tcp(address) => address.fmt(f),
            AdminAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A secret: visible ASCII characters. It does not show in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Box<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// `accessLog`
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// `path`: the file to append to. Default: standard output.
    pub path: Option<PathBuf>,
    /// `format`. Default: json.
    pub format: LogFormat,
    /// `redactQueryKeys`: parameters of a query whose values are left out, beside those that are known as secrets. Default: none.
    pub redact_query_keys: Vec<String>,
    /// `sample`: how many of the plain exchanges that went well have a line, 0 to 1. Default: 1.
    pub sample: f64,
    /// `openRecords`: whether a tunnel has a line when it opens, too. Default: false.
    pub open_records: bool,
}

/// How the fields of a line are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `json`: one object a line.
    Json,
    /// `text`: `name=value`.
    Text,
}

/// An entry of `certificates`, with what is in its files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// `name`: unique among the certificates.
    pub name: String,
    /// `certificateChain` and `privateKey`: where they are, to be read again when they change;
    /// `None` where they are in no files.
    pub files: Option<CertificateFiles>,
    /// What is in them: the key is that of the first certificate.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that the certificate is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// When it expires; not before 1970.
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

/// An entry of `forwardingRules`: a listening address and the HTTP rules for what arrives there.
#[derive(Debug, Clone)]
pub struct ForwardingRule {
    /// `name`: unique among the forwarding rules.
    pub name: String,
    /// `listenerIp` and `listenerPort`: no two forwarding rules overlap, not even by an unspecified address.
    pub listen: SocketAddr,
    /// `v6only`: whether `::` takes IPv6 only; never false for another address. Default: true.
    pub v6_only: bool,
    /// `clientTimeout`: how long to wait for a request's head, for progress of its body or of the answer, and for the
    /// next request. Default: 50 s.
    pub client_timeout: Duration,
    /// `proxyProtocol.from`: whose connections begin with a header of the PROXY protocol. Default: nobody's.
    pub proxy_protocol_from: Vec<IpNet>,
    /// `trustedProxies`: whose word on where a request comes from is taken. Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// `underscoresInHeaders`: whether headers with an underscore in their name pass. Default: false.
    pub underscores_in_headers: bool,
    /// `maxConnections`: how many connections may be open at a time. Default: as many as the process may have.
    pub max_connections: Option<usize>,
    /// `maxConnectionsPerClient`: how many of them may be of one client; an IPv6 client is its /64. Default: no limit.
    pub max_connections_per_client: Option<usize>,
    /// `maxRequestsPerSecond` and the like: how much there may be of what in a second. Default: no limits.
    pub rates: Rates,
    /// `maxHeaderBytes`, `maxHeaders` and `maxRequestBodyBytes`: how large a request may be.
    pub bounds: Bounds,
    /// `serverCertificates` and what goes with them. Default: no TLS.
    pub tls: Option<Tls>,
    /// `h2c`: whether a client without TLS may begin with HTTP/2. Default: false.
    pub h2c: bool,
    /// `maxConcurrentStreams`: how many requests and tunnels one connection of HTTP/2 may have at a time. Default: 100.
    pub max_concurrent_streams: u32,
    /// `tunnel`
    pub tunnel: Tunnel,
    /// `httpRules`, in the order written.
    pub http_rules: Vec<HttpRule>,
}

/// TLS on a forwarding rule.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `serverCertificates`: names of certificates that exist, at least one. The first is the default.
    pub certificates: Vec<String>,
    /// `minTlsVersion`. Default: 1.2.
    pub min_version: TlsVersion,
    /// `clientCertificates`. Default: none is asked for.
    pub client_certificates: Option<ClientCertificates>,
    /// `strictSni`: refuse a client that names no host of a certificate. Default: false.
    pub strict_sni: bool,
    /// `http2`: offer HTTP/2 in the handshake. Default: true.
    pub http2: bool,
}

/// `clientCertificates`
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    /// `caFile`, to be read again when it changes; `None` where they are in none.
    pub ca_file: Option<PathBuf>,
    /// What is in it.
    pub authorities: Authorities,
    /// `mode`. Default: require.
    pub mode: ClientCertificateMode,
}

/// Who vouches for clients.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// Their certificates, at least one.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The same, to verify with.
    pub roots: Arc<RootCertStore>,
}

/// What becomes of a client without a valid certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateMode {
    /// `require`: its handshake fails.
    Require,
    /// `optional`: the target is told.
    Optional,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `1.2`
    V1_2,
    /// `1.3`
    V1_3,
}

/// `tunnel`: what bounds a tunnel.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// `handshakeTimeout`: from the handshake's head to the 101. Default: 10 s.
    pub handshake_timeout: Duration,
    /// `idleTimeout`: how long nothing may move in either direction. Default: 1 h.
    pub idle_timeout: Duration,
    /// `maxLifetime`: how long a tunnel may be open. Default: for ever.
    pub max_lifetime: Option<Duration>,
    /// `lifetimeJitter`: the fraction of `max_lifetime` by which a tunnel's own may be shorter, 0 to 1. Default: 0.1.
    pub lifetime_jitter: f64,
    /// `closeTimeout`: how long both sides have to answer our Close. Default: 5 s.
    pub close_timeout: Duration,
    /// `halfCloseTimeout`: how long one direction may go on after the other has ended, and how long the answer to a plain request
    /// may take to begin after its client has ended its side. Default: 30 s.
    pub half_close_timeout: Duration,
    /// `tcpKeepalive`: after this silence the system probes whether the peer is there, 4 s to 8 h. Default: 60 s.
    pub tcp_keepalive: Duration,
}

impl Default for Tunnel {
    fn default() -> Self {
        Tunnel {
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60 * 60),
            max_lifetime: None,
            lifetime_jitter: 0.1,
            close_timeout: Duration::from_secs(5),
            half_close_timeout: Duration::from_secs(30),
            tcp_keepalive: Duration::from_secs(60),
        }
    }
}

/// An entry of `httpRules`.
#[derive(Debug, Clone)]
pub struct HttpRule {
    /// `name`: unique within the forwarding rule.
    pub name: String,
    /// `conditions`: all must hold; none means always.
    pub conditions: Vec<Condition>,
    /// `type` and what belongs to it.
    pub action: Action,
}

/// What an HTTP rule does with a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// `FORWARD`
    Forward(Forward),
    /// `REDIRECT`
    Redirect(Redirect),
    /// `STATIC`
    Static {
        /// `statusCode`: 200 to 599. Default: 503.
        status_code: u16,
        /// `responseMessage`: the body. Empty where the status allows none.
        response_message: String,
        /// `contentType`: visible ASCII and spaces. Default: `text/plain; charset=utf-8`.
        content_type: String,
    },
}

/// What a `FORWARD` rule says.
#[derive(Debug, Clone)]
pub struct Forward {
    /// `targetGroup`, or `targetGroups`: at least one, no two of the same name.
    pub target_groups: Vec<WeightedGroup>,
    /// `tunnel`; what it does not say is as in the forwarding rule.
    pub tunnel: Tunnel,
    /// `allowedOrigins`: whose pages may open tunnels, at least one. Default: anybody's.
    pub allowed_origins: Option<Vec<AllowedOrigin>>,
    /// `allowedSubprotocols`: which subprotocols a handshake may ask for, tokens, at least one. Default: any.
    pub allowed_subprotocols: Option<Vec<String>>,
    /// `checkAccept`: whether a 101 must fit to its handshake. Default: over HTTP/2 it must, and over HTTP/1.1 the client looks itself.
    pub check_accept: Option<bool>,
    /// `lenientHandshake`: whether a handshake's key may be something else than 16 bytes. Default: false.
    pub lenient_handshake: bool,
    /// `upgrades`: to which other protocols than WebSocket a connection may be upgraded, compared without case. Default: none.
    pub upgrades: Vec<String>,

    /// `headers` and `rewrite`: what is changed on the way. Default: nothing.
    pub changes: Box<Changes>,
}

/// An entry of `targetGroups` of a `FORWARD` rule.
#[derive(Debug, Clone)]
pub struct WeightedGroup {
    /// `name`: of one that exists.
    pub name: String,
    /// `weight`: 0 to 1000. Default: 1.
    pub weight: u16,
}

impl WeightedGroup {
    /// The only one.
    pub fn whole(name: &str) -> Self {
        WeightedGroup {
            name: name.to_owned(),
            weight: 1,
        }
    }
}

impl Forward {
    /// Whether requests may go to this target group.
    pub fn leads_to(&self, name: &str) -> bool {
        self.target_groups.iter().any(|group| group.name == name)
    }

    /// To this target group; the rest is as without a word.
    pub fn to(target_group: &str) -> Self {
        Forward {
            target_groups: vec![WeightedGroup::whole(target_group)],
            tunnel: Tunnel::default(),
            allowed_origins: None,
            allowed_subprotocols: None,
            check_accept: None,
            lenient_handshake: false,
            upgrades: Vec::new(),

            changes: Box::default(),
        }
    }
}

/// An entry of `conditions`.
#[derive(Debug, Clone)]
pub struct Condition {
    /// `type`, with its `key`, `condition` and `value`.
    pub subject: Subject,
    /// `negate`: the condition holds when the comparison does not. Default: false.
    pub negate: bool,
}

/// What a condition looks at.
#[derive(Debug, Clone)]
pub enum Subject {
    /// `HEADER`: the header of that name, whatever its case.
    Header(String, Comparison),
    /// `QUERY`: the parameter of that name in the query.
    Query(String, Comparison),
    /// `COOKIE`: the cookie of that name.
    Cookie(String, Comparison),
    /// `PATH`: the path, without the query.
    Path(Comparison),
    /// `HOST`: the host, without the port, whatever its case.
    Host(Comparison),
    /// `METHOD`
    Method(Comparison),
    /// `SOURCE_IP`: the client's address lies in this block.
    SourceIp(IpNet),
}

/// How a condition compares.
#[derive(Debug, Clone)]
pub enum Comparison {
    /// `EXISTS`
    Exists,
    /// `CONTAINS`
    Contains(String),
    /// `EQUALS`
    Equals(String),
    /// `MATCHES`: anywhere in the text, unless anchored. It ignores case where the subject does
    /// ([`Subject::ignores_case`]).
    Matches(Regex),
    /// `STARTS_WITH`
    StartsWith(String),
    /// `ENDS_WITH`
    EndsWith(String),
}

impl Subject {
    /// Whether the values of this subject compare without regard to case: the host (RFC 9110 section 4.2.3) and the
    /// list-valued headers ([`Subject::is_token_list`]).
    pub fn ignores_case(&self) -> bool {
        matches!(self, Subject::Host(_)) || self.is_token_list()
    }

    /// Whether the value is a comma-separated list of case-insensitive tokens, each compared on its own: the headers
    /// `Connection` and `Upgrade` (RFC 9110 sections 7.6.1 and 7.8).
    pub fn is_token_list(&self) -> bool {
        matches!(self, Subject::Header(key, _)
            if key.eq_ignore_ascii_case("connection") || key.eq_ignore_ascii_case("upgrade"))
    }
}
