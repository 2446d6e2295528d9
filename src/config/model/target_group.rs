//! An entry of `targetGroups`: how its targets are spoken to, and how they share what is new.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, DnsName};
use rustls::sign::CertifiedKey;

use super::{
    Algorithm, HealthCheck, NamedTarget, OnUnhealthy, OutlierDetection, Rebalance, Source,
    Stickiness, Target,
};

/// An entry of `targetGroups`.
#[derive(Debug, Clone)]
pub struct TargetGroup {
    /// Who has said so.
    pub source: Source,
    /// `name`: unique among the target groups.
    pub name: String,
    /// `algorithm`
    pub algorithm: Algorithm,
    /// `protocol` and what goes with HTTPS; `None` is HTTP.
    pub tls: Option<TargetTls>,
    /// `protocolVersion`: for plain requests. Default: HTTP1.
    pub http_version: HttpVersion,
    /// `targets`, each address once; those with a `host` come to them from `named`.
    pub targets: Vec<Target>,
    /// `targets` with a `host`: each host and port once.
    pub named: Vec<NamedTarget>,
    /// `sourceAddresses`: addresses of this machine, each once. Default: as the system decides.
    pub source_addresses: Vec<IpAddr>,
    /// `healthCheck`
    pub health_check: HealthCheck,
    /// `connectTimeout`: for one connection to a target, with its TLS. Default: 5 s.
    pub connect_timeout: Duration,
    /// `responseTimeout`: how long a target may be silent before and within its answer. Default: 60
    /// s.
    pub response_timeout: Duration,
    /// `deregistrationDelay`: how long the tunnels of a target that left the file are left alone.
    /// Default: 300 s.
    pub deregistration_delay: Duration,
    /// `rebalance`: whether load is evened out when a target joins. Default: no.
    pub rebalance: Option<Rebalance>,
    /// `stickiness`. Default: none.
    pub stickiness: Option<Stickiness>,
    /// `slowStart`: over how long a target that comes back gets its share of requests. Default: 0,
    /// at once.
    pub slow_start: Duration,
    /// `failOpen`: where no target is healthy all get requests. Default: false.
    pub fail_open: bool,
    /// `onUnhealthy`. Default: keep.
    pub on_unhealthy: OnUnhealthy,
    /// `outlierDetection`. Default: none.
    pub outlier_detection: Option<OutlierDetection>,
}

/// TLS towards the targets of a group.
#[derive(Debug, Clone)]
pub struct TargetTls {
    /// `serverName`: whom the certificates must be for, and who is asked for (SNI). Default: each
    /// target's own address.
    pub server_name: Option<DnsName<'static>>,
    /// `subjectAltNames`: whom the certificates must be for instead. Default: none.
    pub subject_names: Vec<SubjectName>,
    /// `caFile`: the certificates in it, at least one. Default: those that the system trusts.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// These certificates, or the system's, as what targets are verified with. Not empty.
    pub roots: Arc<RootCertStore>,
    /// `verifyCertificate`. Default: true.
    pub verify_certificate: bool,
    /// `clientCertificate`: what is shown to targets that ask for a certificate. Default: none.
    pub client_certificate: Option<OwnCertificate>,
}

/// An entry of `subjectAltNames`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectName {
    /// A DNS name, whose first label may be `*`.
    Host(String),
    /// A URI, as it is: `spiffe://cluster/ns/chat`.
    Uri(String),
}

/// An entry of `certificates` that is shown to targets.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    /// Its name.
    pub name: String,
    /// What is in its files, as it was last read.
    pub key: Arc<CertifiedKey>,
}

/// The version of HTTP in which targets are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// `HTTP1`: HTTP/1.1.
    Http1,
    /// `HTTP2`: HTTP/2; over TLS only where the target offers it (ALPN).
    Http2,
}
