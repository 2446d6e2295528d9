//! A request that nobody has made, for `explain`: it takes the road of a real one up to its
//! decision, without a connection, and without leaving a trace.
//!
//! Its head is written as it would be on the wire, and bounded, mended, parsed and cleaned by what
//! does that for real ones.

use std::io::Cursor;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::header::{SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, Method, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::server::HttpSession;

use super::choice;
use super::decide::{self, Decision, Sender};
use crate::config::model::Bounds;
use crate::forwarding_rule::{ForwardingRule, Routes};
use crate::refusal::Refusal;
use crate::rules::{Action, Request, Rule};
use crate::tap;
use crate::target_group::TargetGroup;
use crate::telemetry::Client;

/// A request that somebody might make.
pub struct Hypothetical {
    /// Its method.
    pub method: Method,
    /// Its request-target: a path with its query, an address, or `*`.
    pub target: String,
    /// HTTP/1.0, HTTP/1.1 or HTTP/2. A WebSocket's handshake in HTTP/2 looks like one in HTTP/1.1
    /// here.
    pub version: Version,
    /// Its headers, Host among them.
    pub headers: HeaderMap,
    /// Whose connection it comes on.
    pub peer: Client,
}

/// Such a request once it has come to a forwarding rule.
pub struct Arrived<'r> {
    rule: &'r ForwardingRule,
    sender: Sender<'static>,
    /// Whom its client has asked for in the TLS handshake.
    server_name: Option<String>,
    /// As conditions see it.
    head: Result<RequestHeader, Refusal>,
}

impl Hypothetical {
    /// Comes to a forwarding rule.
    pub fn arrive<'r>(&self, rule: &'r ForwardingRule) -> Arrived<'r> {
        let is_tls = rule.tls.is_some();
        let head = self.read(&rule.bounds);
        // Of a head that is none nothing is believed.
        let nothing = HeaderMap::new();
        let headers = head.as_ref().map_or(&nothing, |head| &head.headers);
        let mut sender = Sender::of(rule, headers, self.peer, is_tls);
        sender.is_handshake_in_http2 = self.is_handshake_in_http2();
        let clean = |mut head| decide::clean(rule, &sender, &mut head).map(|()| head);
        let head = head.and_then(clean);
        let host = head.as_ref().ok().filter(|_| is_tls);
        Arrived {
            rule,
            server_name: host.and_then(|head| server_name(&sender.request(head))),
            head,
            sender,
        }
    }

    fn is_handshake_in_http2(&self) -> bool {
        self.version == Version::HTTP_2 && self.headers.contains_key(UPGRADE)
    }

    /// The head as Pingora reads it.
    fn read(&self, bounds: &Bounds) -> Result<RequestHeader, Refusal> {
        let text = tap::shown_to_pingora(self.text(), *bounds);
        let text =
            text.map_err(|end| Refusal::of_head(None, end).unwrap_or(Refusal::BAD_REQUEST))?;
        let mut session = HttpSession::new(Box::new(Cursor::new(text)));
        // All of it is there, so nothing is waited for.
        let has_come = matches!(session.read_request().now_or_never(), Some(Ok(Some(_))));
        if !has_come {
            return Err(Refusal::MALFORMED_HEAD);
        }
        let mut head = session.req_header().clone();
        if head.method == Method::CONNECT {
            return Err(Refusal::CONNECT);
        }
        if self.version == Version::HTTP_2 && !self.is_handshake_in_http2() {
            head.set_version(Version::HTTP_2);
        }
        Ok(head)
    }

    fn text(&self) -> Vec<u8> {
        let version = match self.version {
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        let line = format!("{} {} HTTP/{version}\r\n", self.method, self.target);
        let mut text = line.into_bytes();
        for (name, value) in &self.headers {
            text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        if self.is_handshake_in_http2() && !self.headers.contains_key(SEC_WEBSOCKET_KEY) {
            // The client has none there (RFC 8441 section 5), and the target gets ours.
            text.extend_from_slice(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

impl<'r> Arrived<'r> {
    /// The client, behind trusted proxies.
    pub fn client_ip(&self) -> IpAddr {
        self.sender.client.ip
    }

    /// The request, as conditions see it; `None` where it does not come to them.
    pub fn request(&self) -> Option<Request<'_>> {
        let head = self.head.as_ref().ok()?;
        let request = self.sender.request(head);
        Some(request.in_tls_for(self.server_name.as_deref()))
    }

    /// The target groups that it may go to by this rule; chance decides where there are several.
    pub fn target_groups(&self, http_rule: &'r Rule<Routes>) -> Vec<Arc<TargetGroup>> {
        let (Some(request), Action::Forward(routes)) = (self.request(), &http_rule.action) else {
            return Vec::new();
        };
        let routes = choice::possible(routes, &request).into_iter();
        routes.map(|route| Arc::clone(&route.group)).collect()
    }

    /// What becomes of it.
    pub fn decision(&self) -> Decision<'r> {
        match &self.head {
            Ok(head) => {
                let server_name = self.server_name.as_deref();
                let sender = Sender {
                    server_name,
                    ..self.sender
                };
                decide::decide(self.rule, &sender, head)
            }
            Err(refusal) => Decision::refused(*refusal),
        }
    }
}

/// Whom a client would ask for in the TLS handshake before this request: the host of the request,
/// unless that is an address (RFC 6066 section 3).
fn server_name(request: &Request<'_>) -> Option<String> {
    let host = std::str::from_utf8(request.host()).ok();
    let is_name =
        |host: &&str| !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    host.filter(is_name).map(str::to_owned)
}
