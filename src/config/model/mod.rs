//! What a configuration may say, once it has been checked: plain data, with the defaults filled in.
//!
//! Nothing here knows how the words were written or what they do later. A source makes these
//! values, as `config::read` does from YAML, and every room builds its runtime type from them.
//! Names are those of the file, in snake case. Rules and groups are shared with the configurations
//! before and after, so that one of them is changed without a copy of all.

mod access_log;
mod acme;
mod admin;
mod api;
mod balance;
mod blocks;
mod certificate;
mod changes;
mod condition;
mod cors;
mod forwarding_rule;
mod gateway;
mod health;
mod http_rule;
mod limits;
mod listen_address;
mod mirror;
mod origin;
mod parts;
mod redirect;
mod resolver;
mod server;
mod source;
mod target;
mod target_group;
mod tunnel;

use std::sync::Arc;

pub use self::access_log::{AccessLog, LogFormat, LoggedHeaders, Tracing};
pub use self::acme::{Acme, Challenge, DnsCommand, ExternalAccount, file_name};
pub use self::admin::{Admin, Token};
pub use self::api::{Api, Datacenter, Etcd, Lan, Store, User, WebSocketChecks, Written};
pub use self::balance::{
    Algorithm, HashKey, Rebalance, SameSite, Stickiness, StickyCookie, StickyHeader,
};
pub use self::blocks::Blocks;
pub use self::certificate::{Certificate, CertificateFiles};
pub use self::changes::{Changes, HeaderChanges, Headers, NewPath, NewValue, Rewrite};
pub use self::condition::{BlocksFile, Comparison, Condition, Subject, without_last_slash};
pub use self::cors::{Cors, CorsList};
pub use self::forwarding_rule::{
    Authorities, ClientCertificateMode, ClientCertificates, ForwardingRule, Tls, TlsVersion,
};
pub use self::gateway::{Access, Gateway, Kubernetes};
pub use self::health::{
    Check, Expected, GrpcCheck, HealthCheck, HttpCheck, OnUnhealthy, OutlierDetection,
    WebSocketCheck,
};
pub use self::http_rule::{
    Action, Answer, Forward, HttpRule, Retry, WeightedAnswer, WeightedGroup,
};
pub use self::limits::{Bounds, Memory, Rate, Rates};
pub use self::listen_address::ListenAddress;
pub use self::mirror::Mirror;
pub use self::origin::AllowedOrigin;
pub use self::parts::{LISTS, Part, Parts};
pub use self::redirect::{Redirect, RedirectParts};
pub use self::resolver::Resolver;
pub use self::server::{Drain, Server, SessionTicketKeys, TunnelRecords, Upgrade};
pub use self::source::{Origin, Source};
pub use self::target::{NamedTarget, ProxyProtocol, Target};
pub use self::target_group::{HttpVersion, OwnCertificate, SubjectName, TargetGroup, TargetTls};
pub use self::tunnel::Tunnel;

/// A whole configuration, whatever source made it: a file, or code. Every target group and
/// certificate that a rule names exists, and all names are unique. Durations are from 1 ms to 30
/// days; an IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is here in its IPv4 form.
#[derive(Debug, Clone)]
pub struct Config {
    /// What concerns the process.
    pub server: Server,
    /// The address for operators.
    pub admin: Admin,
    /// The IONOS API, where it is offered.
    pub api: Option<Api>,
    /// Where objects of the Gateway API are, if there are to be any.
    pub gateway: Option<Gateway>,
    /// The access log.
    pub access_log: AccessLog,
    /// Traces of requests over several services.
    pub tracing: Tracing,
    /// Possibly none.
    pub certificates: Vec<Certificate>,
    /// At least one, unless there is an API or a gateway.
    pub forwarding_rules: Vec<Arc<ForwardingRule>>,
    /// Possibly none, where all rules answer themselves.
    pub target_groups: Vec<Arc<TargetGroup>>,
    /// The files that the file includes.
    pub parts: Parts,
}

impl Config {
    /// Whether the keys of session tickets and of sticky cookies are in common with other nodes.
    pub fn shares_keys(&self) -> bool {
        let store = self.api.as_ref().map(|api| &api.store);
        matches!(store, Some(Store::Etcd(etcd)) if !etcd.sealing_keys.is_empty())
    }
}
