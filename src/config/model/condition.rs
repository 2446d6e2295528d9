//! An entry of `conditions`: what of a request is compared, and with what.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use regex::bytes::Regex;

use super::Blocks;

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
    /// `SOURCE_IP` with `valuesFile`: the client's address lies in one of the blocks there.
    SourceIpIn(BlocksFile),
    /// `SERVER_NAME`: whom the client named in the TLS handshake (SNI), whatever its case.
    ServerName(Comparison),
}

/// Blocks of addresses, and the file that has them.
#[derive(Debug, Clone)]
pub struct BlocksFile {
    /// Its path, as it was given.
    pub path: Arc<Path>,
    /// What it has; in common to all conditions that name it.
    pub blocks: Arc<Blocks>,
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
    /// `UNDER`: the path is this one, or goes on below it. A slash at its end does not count.
    Under(String),
}

/// A path of `UNDER` as it counts.
pub fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

impl Subject {
    /// Whether the values of this subject compare without regard to case: hosts (RFC 9110 section
    /// 4.2.3) and the list-valued headers ([`Subject::is_token_list`]).
    pub fn ignores_case(&self) -> bool {
        matches!(self, Subject::Host(_) | Subject::ServerName(_)) || self.is_token_list()
    }

    /// Whether the value is a comma-separated list of case-insensitive tokens, each compared on its
    /// own: the headers `Connection` and `Upgrade` (RFC 9110 sections 7.6.1 and 7.8).
    pub fn is_token_list(&self) -> bool {
        matches!(self, Subject::Header(key, _)
            if key.eq_ignore_ascii_case("connection") || key.eq_ignore_ascii_case("upgrade"))
    }
}
