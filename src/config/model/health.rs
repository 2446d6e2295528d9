//! How it is found out what a target can do: `healthCheck`, `httpHealthCheck` and
//! `outlierDetection`.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderMap, Method};
use regex::bytes::Regex;

/// `healthCheck`, with what `httpHealthCheck` says.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    /// `checkTimeout`: for one check. Default: 2 s.
    pub check_timeout: Duration,
    /// `checkInterval`: from the end of one check to the next, give or take a tenth. Default: 2 s.
    pub check_interval: Duration,
    /// `retries`: how often a request whose connection fails or breaks is tried again, on another
    /// target each time. 0 to
    /// 65535. Default: 3.
    pub retries: u16,
    /// `healthyThreshold`: passed checks in a row until healthy. 1 to 100. Default: 1.
    pub healthy_threshold: usize,
    /// `unhealthyThreshold`: failed checks in a row until unhealthy. 1 to 100. Default: 3.
    pub unhealthy_threshold: usize,
    /// `port`: where checks go. Default: the target's own.
    pub port: Option<u16>,
    /// `type` and what belongs to it. Default: TCP.
    pub check: Check,
}

/// What one check does.
#[derive(Debug, Clone)]
pub enum Check {
    /// `TCP`: opens a connection.
    Tcp,
    /// `HTTP`: sends a request.
    Http(HttpCheck),
    /// `GRPC`: asks by the health checking protocol of gRPC, over HTTP/2.
    Grpc(GrpcCheck),
    /// `WEBSOCKET`: opens a WebSocket, and closes it.
    WebSocket(WebSocketCheck),
}

/// What belongs to the type `HTTP`.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// `path`: begins with a slash; may have a query. Default: `/`.
    pub path: String,
    /// `method`. Default: GET.
    pub method: Method,
    /// `host`. Default: `serverName`, or the address that is checked.
    pub host: Option<String>,
    /// `headers`. Default: none.
    pub headers: HeaderMap,
    /// `matchType`, `response` and `regex`. Default: a status from 200 to 399.
    pub expected: Expected,
    /// `negate`: the check passes when the answer is not as expected. Default: false.
    pub negate: bool,
}

/// What an answer is compared with.
#[derive(Debug, Clone)]
pub enum Expected {
    /// `STATUS_CODE`: one of these.
    Status(Vec<RangeInclusive<u16>>),
    /// `STATUS_CODE` with `regex`: matches the three digits, anywhere unless anchored.
    StatusMatches(Regex),
    /// `RESPONSE_BODY`: contains this.
    Body(String),
    /// `RESPONSE_BODY` with `regex`: matches, anywhere unless anchored.
    BodyMatches(Regex),
    /// One of these, and a body that contains this. A file cannot say so.
    StatusAndBody(Vec<RangeInclusive<u16>>, String),
}

/// What belongs to the type `GRPC`.
#[derive(Debug, Clone)]
pub struct GrpcCheck {
    /// `service`: of which is asked. Default: the server as a whole.
    pub service: String,
    /// `host`: its `:authority`. Default: `serverName`, or the address that is checked.
    pub host: Option<String>,
}

/// What belongs to the type `WEBSOCKET`.
#[derive(Debug, Clone)]
pub struct WebSocketCheck {
    /// `path`: begins with a slash; may have a query. Default: `/`.
    pub path: String,
    /// `host`. Default: `serverName`, or the address that is checked.
    pub host: Option<String>,
    /// `headers`. Default: none.
    pub headers: HeaderMap,
    /// `subprotocol`: is asked for, and must be agreed to. Default: none.
    pub subprotocol: Option<String>,
    /// `ping`: a Ping must be answered, too. Default: false.
    pub ping: bool,
}

/// `outlierDetection`: targets that fail requests get nothing new for a while.
#[derive(Debug, Clone)]
pub struct OutlierDetection {
    /// `consecutiveFailures`: failures in a row that eject a target. 1 to 10000. Default: 5.
    pub consecutive_failures: u32,
    /// `baseEjectionTime`: how long the first time; each further time as much longer. Default: 30
    /// s.
    pub base_ejection_time: Duration,
    /// `maxEjectionTime`: how long at most. Not shorter. Default: 5 min.
    pub max_ejection_time: Duration,
    /// `maxEjectedPercent`: of the group's targets, at a time; rounded down. 1 to 100. Default: 50.
    pub max_ejected_percent: usize,
}

/// What becomes of the tunnels of a target that turns unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnhealthy {
    /// `keep`: nothing.
    Keep,
    /// `close`: they are closed, spread over a while, until it is healthy again.
    Close,
}
