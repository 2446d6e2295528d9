//! What holds where the file says nothing. `conf/culvert.yaml` documents these values; a test
//! compares the two.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Method;

use super::super::model::{
    ClientCertificateMode, HttpVersion, ListenAddress, LogFormat, OnUnhealthy, SameSite,
    TlsVersion, WebSocketChecks,
};

pub(super) const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
pub(super) const ACME_STATE_DIRECTORY: &str = "/var/lib/culvert/acme";
pub(super) const ACME_COMMAND_TIMEOUT: Duration = Duration::from_secs(120);
/// A host's name is not longer (Linux).
const LONGEST_NODE: usize = 64;

pub(super) const ADMIN_MODE: u32 = 0o660;

pub(super) const ANY_ADDRESS: bool = false;
pub(super) const ETCD_PREFIX: &str = "/culvert/";
pub(super) const WEB_SOCKET_CHECKS: WebSocketChecks = WebSocketChecks::Keep;

pub(super) const LOG_FORMAT: LogFormat = LogFormat::Json;
pub(super) const SAMPLE: f64 = 1.0;
pub(super) const OPEN_RECORDS: bool = false;

pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(50);
pub(super) const UNDERSCORES_IN_HEADERS: bool = false;

pub(super) const MIN_TLS_VERSION: TlsVersion = TlsVersion::V1_2;
pub(super) const STRICT_SNI: bool = false;
pub(super) const HTTP2: bool = true;
pub(super) const H2C: bool = false;
pub(super) const MAX_CONCURRENT_STREAMS: u32 = 100;
pub(super) const HTTP2_WEB_SOCKETS: bool = true;
pub(super) const CLIENT_CERTIFICATE_MODE: ClientCertificateMode = ClientCertificateMode::Require;

pub(super) const REDIRECT_STATUS: u16 = 301;
pub(super) const DROP_QUERY: bool = false;
pub(super) const LENIENT_HANDSHAKE: bool = false;
pub(super) const RETRY_ATTEMPTS: u32 = 1;
pub(super) const RETRY_BACKOFF: Duration = Duration::ZERO;
pub(super) const CORS_CREDENTIALS: bool = false;
pub(super) const CORS_MAX_AGE: Duration = Duration::from_secs(5);
pub(super) const MIRROR_PERCENT: u32 = 100;
pub(super) const STATIC_STATUS: u16 = 503;
pub(super) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

pub(super) const NEGATE: bool = false;

pub(super) const HTTP_VERSION: HttpVersion = HttpVersion::Http1;
pub(super) const VERIFY_CERTIFICATE: bool = true;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const DEREGISTRATION_DELAY: Duration = Duration::from_secs(300);

pub(super) const REBALANCE_MIN_AGE: Duration = Duration::from_secs(60);
pub(super) const STICKY_COOKIE: &str = "culvert";
pub(super) const SAME_SITE: SameSite = SameSite::Lax;

pub(super) const WEIGHT: u16 = 1;
pub(super) const HEALTH_CHECK_ENABLED: bool = true;
pub(super) const MAINTENANCE_ENABLED: bool = false;
pub(super) const MAINTENANCE_DRAIN: bool = false;

pub(super) const CONTROLLER_NAME: &str = "culvert.dev/gateway";
pub(super) const LEASE_NAMESPACE: &str = "culvert-system";

pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const RETRIES: u16 = 3;
pub(super) const HEALTHY_THRESHOLD: usize = 1;
pub(super) const UNHEALTHY_THRESHOLD: usize = 3;
pub(super) const CHECK_PATH: &str = "/";
pub(super) const CHECK_METHOD: Method = Method::GET;
pub(super) const CHECK_STATUS: RangeInclusive<u16> = 200..=399;
pub(super) const CHECK_REGEX: bool = false;
pub(super) const CHECK_NEGATE: bool = false;
pub(super) const CHECK_PING: bool = false;

pub(super) const TRACEPARENT: bool = false;

pub(super) const SLOW_START: Duration = Duration::ZERO;
pub(super) const FAIL_OPEN: bool = false;
pub(super) const ON_UNHEALTHY: OnUnhealthy = OnUnhealthy::Keep;
pub(super) const CONSECUTIVE_FAILURES: u32 = 5;
pub(super) const BASE_EJECTION_TIME: Duration = Duration::from_secs(30);
pub(super) const MAX_EJECTION_TIME: Duration = Duration::from_secs(300);
pub(super) const MAX_EJECTED_PERCENT: usize = 50;

pub(super) fn admin_listen() -> ListenAddress {
    ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)))
}

/// The host's name, where the system says one that can be read.
pub(super) fn node() -> Arc<str> {
    let name = hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok());
    let name = name.filter(|name| is_node(name));
    name.map_or_else(|| "culvert".into(), Arc::from)
}

/// Whether this can name a node: it stands in lines, labels and titles.
pub(super) fn is_node(name: &str) -> bool {
    let is_visible = |letter: char| !letter.is_control() && !letter.is_whitespace();
    (1..=LONGEST_NODE).contains(&name.chars().count()) && name.chars().all(is_visible)
}

/// One per core, within the bounds of `server.threads`.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(1024))
}
