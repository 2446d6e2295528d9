//! What becomes of a request: decided here and nowhere else, by its head, by who sent it and by the
//! rules that serve.
//!
//! `request_filter` carries a [`Decision`] out, and `explain` tells it. Both clean the head first,
//! so that conditions see the same. What depends on anything else is not in it: how many others
//! there are (rates, places), memory, what comes of a body, and what targets do.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{EXPECT, HeaderValue};
use http::{HeaderMap, Version};
use pingora::http::RequestHeader;

use super::{
    challenge, changes, choice, forwarded, handshake, headers, http2, scheme, smuggling,
    untrusted_headers,
};
use crate::forwarding_rule::{ForwardingRule, Route, Routes, Way};
use crate::refusal::Refusal;
use crate::rules::{Action, Cors, Offer, Redirect, Request, Response, Rule, Static, Told};
use crate::target_group::PickContext;
use crate::telemetry::{Client, ClientCertificate};

/// Who sent a request, and how it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The client, behind trusted proxies.
    pub(super) client: Client,
    /// How the client came, to us or to a trusted proxy before us: `http` or `https`.
    pub(super) scheme: &'static str,
    /// Whether a trusted proxy sent it.
    pub(super) is_from_proxy: bool,
    /// What is known of its certificate, where it is asked for one.
    pub(super) certificate: Option<&'a ClientCertificate>,
    /// Whether it is a WebSocket's handshake in HTTP/2, though its head looks like one in HTTP/1.1.
    pub(super) is_handshake_in_http2: bool,
    /// Whom its client has asked for in the TLS handshake.
    pub(super) server_name: Option<&'a str>,
}

/// What becomes of a request.
pub struct Decision<'r> {
    /// The HTTP rule that decides; `None` where none matches, or the request does not come so far.
    pub rule: Option<&'r Rule<Routes>>,
    /// What is done, or why it is refused.
    pub outcome: Result<Outcome<'r>, Refusal>,
}

/// What is done with a request.
pub enum Outcome<'r> {
    /// It is answered with a text.
    Static(&'r Static),
    /// Its client is sent to this location.
    Redirect(&'r Redirect, String),
    /// It is a browser's question, which is answered with these headers.
    Preflight(Told),
    /// It asks for a token of ACME, and gets this.
    Challenge(Bytes),
    /// It goes to a target.
    Forward(Forward),
}

/// Where a request goes.
pub struct Forward {
    /// The way to its target group.
    pub route: Arc<Route>,
    /// As what it goes.
    pub passage: Passage,
    /// What of it decides on its target.
    pub context: PickContext<'static>,
}

/// As what a request goes to its target.
#[derive(Debug)]
pub enum Passage {
    /// A request, and an answer.
    Plain,
    /// A WebSocket's handshake, with the subprotocols that it may ask for, where those are not all.
    WebSocket(Option<HeaderValue>),
    /// A handshake for this protocol.
    Upgrade(Arc<str>),
}

impl Sender<'_> {
    /// Whoever sent these headers from this address, without a certificate.
    pub(super) fn of(
        rule: &ForwardingRule,
        headers: &HeaderMap,
        peer: Client,
        is_tls: bool,
    ) -> Self {
        let (client, proxies) = forwarded::client(headers, peer, &rule.trusted);
        Sender {
            client,
            scheme: scheme::of(headers, proxies, is_tls),
            is_from_proxy: proxies > 0,
            certificate: None,
            is_handshake_in_http2: false,
            server_name: None,
        }
    }

    /// The request with this head, as conditions see it.
    pub(super) fn request<'h>(&'h self, head: &'h RequestHeader) -> Request<'h> {
        let method = head.method.as_str();
        let request = Request::new(method, head.raw_path(), &head.headers, self.client.ip);
        request.in_tls_for(self.server_name)
    }
}

/// Makes of a head what conditions and targets may see.
///
/// Errors: one that is unsound, or larger than it may be.
pub(super) fn clean(
    rule: &ForwardingRule,
    sender: &Sender<'_>,
    head: &mut RequestHeader,
) -> Result<(), Refusal> {
    let malformed = |_| Refusal::BAD_REQUEST;
    if head.version == Version::HTTP_10 {
        // It cannot expect an answer of 1xx (RFC 9110 section 10.1.1).
        head.remove_header(&EXPECT);
    }
    headers::ask_by_path(head).map_err(malformed)?;
    smuggling::check(head, &rule.bounds)?;
    untrusted_headers::disregard(head, rule, sender.is_from_proxy)?;
    if sender.is_from_proxy {
        // Of everybody else they are dropped already.
        headers::forget_certificate(head);
    }
    headers::tell_certificate(sender.certificate, head).map_err(malformed)?;
    headers::tell_scheme(sender.scheme, head).map_err(malformed)
}

/// Decides on a request with this head, which is clean.
pub(super) fn decide<'r>(
    rule: &'r ForwardingRule,
    sender: &Sender<'_>,
    head: &RequestHeader,
) -> Decision<'r> {
    let request = sender.request(head);
    if let Some(answer) = challenge::answer(rule, &request) {
        return Decision {
            rule: None,
            outcome: Ok(Outcome::Challenge(answer)),
        };
    }
    let Some(rule) = rule.rules.find(&request) else {
        return Decision::refused(Refusal::NO_MATCHING_RULE);
    };
    let outcome = match &rule.action {
        Action::Respond(response) => respond(response, sender, head, &request),
        Action::Forward(routes) => forward(routes, sender, head, &request),
    };
    Decision {
        rule: Some(rule),
        outcome,
    }
}

impl Decision<'_> {
    /// It does not come to a rule.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Decision {
            rule: None,
            outcome: Err(refusal),
        }
    }
}

fn respond<'r>(
    response: &'r Response,
    sender: &Sender<'_>,
    head: &RequestHeader,
    request: &Request<'_>,
) -> Result<Outcome<'r>, Refusal> {
    match response {
        Response::Static(answer) => {
            if sender.is_handshake_in_http2 {
                http2::check_status(answer.status)?;
            }
            Ok(Outcome::Static(answer))
        }
        Response::Redirect(redirect) => {
            if let Some(told) = preflight(redirect.cors.as_deref(), head, request) {
                return Ok(told);
            }
            let location = redirect.location(request, sender.scheme);
            let location = location.ok_or(Refusal::NO_LOCATION)?;
            Ok(Outcome::Redirect(redirect, location))
        }
    }
}

fn forward<'r>(
    routes: &'r Routes,
    sender: &Sender<'_>,
    head: &RequestHeader,
    request: &Request<'_>,
) -> Result<Outcome<'r>, Refusal> {
    let way = choice::way(routes, request);
    let cors = match &way {
        Some(Way::Route(route)) => route.cors.as_deref(),
        Some(Way::Answer(Response::Redirect(redirect))) => redirect.cors.as_deref(),
        Some(Way::Answer(Response::Static(_))) | None => routes.cors.as_deref(),
    };
    if let Some(told) = preflight(cors, head, request) {
        return Ok(told);
    }
    let route = match way.ok_or(Refusal::NO_TARGET)? {
        Way::Route(route) => route,
        Way::Answer(answer) => return respond(answer, sender, head, request),
    };
    let passage = passage(&route, head)?;
    smuggling::check_nominations(&head.headers)?;
    changes::check_target(&route, head)?;
    Ok(Outcome::Forward(Forward {
        passage,
        context: choice::context(&route.group, request),
        route,
    }))
}

/// What is answered to a browser that asks what a page may do.
fn preflight<'r>(
    cors: Option<&Cors>,
    head: &RequestHeader,
    request: &Request<'_>,
) -> Option<Outcome<'r>> {
    let told = cors?.preflight(request.method(), &head.headers)?;
    Some(Outcome::Preflight(told))
}

/// Errors: a handshake that is not valid, or may not be made there.
fn passage(route: &Route, head: &RequestHeader) -> Result<Passage, Refusal> {
    if handshake::is_handshake(head, route.lenient_handshake)? {
        let origins = route.origins.as_ref();
        if origins.is_some_and(|origins| !origins.allow(&head.headers)) {
            return Err(Refusal::ORIGIN);
        }
        return subprotocols(route, &head.headers).map(Passage::WebSocket);
    }
    let upgrade = handshake::other_upgrade(head, &route.upgrades);
    Ok(upgrade.map_or(Passage::Plain, Passage::Upgrade))
}

fn subprotocols(route: &Route, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let Some(allowed) = &route.subprotocols else {
        return Ok(None);
    };
    match allowed.offer(headers) {
        Offer::Nothing => Err(Refusal::SUBPROTOCOL),
        Offer::Part(left) => Ok(Some(left)),
        Offer::Whole => Ok(None),
    }
}
