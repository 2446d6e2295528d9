//! An entry of `forwardingRules`: where is listened, and what holds for all that arrives there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::{Bounds, HttpRule, Rates, Source, Tunnel};

/// An entry of `forwardingRules`: a listening address and the HTTP rules for what arrives there.
#[derive(Debug, Clone)]
pub struct ForwardingRule {
    /// Who has said so.
    pub source: Source,
    /// `name`: unique among the forwarding rules.
    pub name: String,
    /// `listenerIp` and `listenerPort`: no two forwarding rules overlap, not even by an unspecified
    /// address.
    pub listen: SocketAddr,
    /// `v6only`: whether `::` takes IPv6 only; never false for another address. Default: true.
    pub v6_only: bool,
    /// `clientTimeout`: how long to wait for a request's head, for progress of its body or of the
    /// answer, and for the next request. Default: 50 s.
    pub client_timeout: Duration,
    /// `proxyProtocol.from`: whose connections begin with a header of the PROXY protocol. Default:
    /// nobody's.
    pub proxy_protocol_from: Vec<IpNet>,
    /// `trustedProxies`: whose word on where a request comes from is taken. Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// `underscoresInHeaders`: whether headers with an underscore in their name pass. Default:
    /// false.
    pub underscores_in_headers: bool,
    /// `maxConnections`: how many connections may be open at a time. Default: as many as the
    /// process may have.
    pub max_connections: Option<usize>,
    /// `maxConnectionsPerClient`: how many of them may be of one client; an IPv6 client is its /64.
    /// Default: no limit.
    pub max_connections_per_client: Option<usize>,
    /// `maxRequestsPerSecond` and the like: how much there may be of what in a second. Default: no
    /// limits.
    pub rates: Rates,
    /// `maxHeaderBytes`, `maxHeaders` and `maxRequestBodyBytes`: how large a request may be.
    pub bounds: Bounds,
    /// `serverCertificates` and what goes with them. Default: no TLS.
    pub tls: Option<Tls>,
    /// `h2c`: whether a client without TLS may begin with HTTP/2. Default: false.
    pub h2c: bool,
    /// `maxConcurrentStreams`: how many requests and tunnels one connection of HTTP/2 may have at a
    /// time. Default: 100.
    pub max_concurrent_streams: u32,
    /// `http2WebSockets`: whether WebSockets are offered over HTTP/2. Default: true.
    pub http2_web_sockets: bool,
    /// `tunnel`
    pub tunnel: Tunnel,
    /// `httpRules`, in the order written. One that is the same object as before is not built again.
    pub http_rules: Vec<Arc<HttpRule>>,
    /// Whether they are tried in this order, and not those last that forward. A file cannot say so.
    pub in_order: bool,
}

/// TLS on a forwarding rule.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `serverCertificates`: names of certificates that exist, at least one. The first is the
    /// default.
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
    /// The same certificates, as what clients are verified with.
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
