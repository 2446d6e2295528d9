//! Which target of a group gets what: `algorithm`, `stickiness` and `rebalance`.

use std::time::Duration;

use http::HeaderName;

/// `rebalance`: how tunnels are ended so that load evens out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// `rate`: how many a second at most, 1 to 10000.
    pub rate: u16,
    /// `minAge`: younger tunnels are left alone. Default: 60 s.
    pub min_age: Duration,
}

/// `stickiness`: what keeps a client with its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stickiness {
    /// `COOKIE`: one of ours, that names the target.
    Cookie(StickyCookie),
    /// `HEADER`: the same in a header.
    Header(StickyHeader),
    /// `APPLICATION_COOKIE`: the hash of the first cookie of this name.
    ApplicationCookie(String),
}

/// A cookie of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// `name`: a token. Default: culvert.
    pub name: String,
    /// `duration`: at least 1 s. Default: as long as the browser runs.
    pub duration: Option<Duration>,
    /// `lifetime`: how long it is known from when it is set, whole seconds. Default: for ever.
    pub lifetime: Option<Duration>,
    /// `sameSite`. Default: Lax.
    pub same_site: SameSite,
}

/// A header of ours, which clients send back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyHeader {
    /// `name`
    pub name: HeaderName,
    /// `lifetime`: as of a cookie.
    pub lifetime: Option<Duration>,
}

/// From where a cookie comes along (RFC 6265bis section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Lax`: pages of the same site, and links to it.
    Lax,
    /// `Strict`: pages of the same site.
    Strict,
    /// `None`: all pages; only over TLS.
    None,
}

/// How the next target is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// `ROUND_ROBIN`: in turn, in proportion to the weights.
    RoundRobin,
    /// `LEAST_CONNECTION`: the one that carries the least, in proportion to its weight.
    LeastConnection,
    /// `RANDOM`: by chance, in proportion to the weights.
    Random,
    /// `SOURCE_IP`: by a hash of the client's address.
    SourceIp,
    /// `HASH`: by a hash of what `hashKey` says.
    Hash(HashKey),
}

impl Algorithm {
    /// Its word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Algorithm::RoundRobin => "ROUND_ROBIN",
            Algorithm::LeastConnection => "LEAST_CONNECTION",
            Algorithm::Random => "RANDOM",
            Algorithm::SourceIp => "SOURCE_IP",
            Algorithm::Hash(_) => "HASH",
        }
    }
}

/// `hashKey`: what of a request is hashed. Where it has none, its client's address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// `HEADER`: the first of that name.
    Header(HeaderName),
    /// `COOKIE`: the first of that name.
    Cookie(String),
    /// `QUERY`: the first parameter of that name in the query.
    Query(String),
}
