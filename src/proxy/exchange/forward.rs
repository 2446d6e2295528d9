//! A request goes where it was decided: as a plain one, or as a handshake, which may be one too
//! many; and what its target is told of the client.

use std::sync::Arc;

use http::header::{FORWARDED, HOST, HeaderName, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::prelude::Session;

use super::Exchange;
use crate::forwarding_rule::Route;
use crate::proxy::decide::{Forward, Passage};
use crate::proxy::forwarded::{self, X_FORWARDED_FOR, X_REQUEST_ID};
use crate::proxy::headers;
use crate::proxy::scheme::X_FORWARDED_PROTO;
use crate::target_group::PickContext;
use crate::telemetry::ip_text;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl Exchange {
    /// Has the request go there. Errors: a handshake that is one too many.
    pub(in crate::proxy) fn forward(
        &mut self,
        session: &mut Session,
        forward: Forward,
    ) -> Result<()> {
        let Forward {
            route,
            passage,
            context,
        } = forward;
        if matches!(passage, Passage::Plain) {
            self.begin_copies(session, &route);
        }
        let head = session.req_header_mut();
        if self.traces {
            self.trace(head);
        }
        match passage {
            Passage::Plain => {
                head.remove_header(&UPGRADE);
                self.forward_to(route, context, false);
            }
            Passage::WebSocket(subprotocols) => {
                self.count_handshake()?;
                if let Some(left) = subprotocols {
                    head.insert_header(SEC_WEBSOCKET_PROTOCOL, left)?;
                }
                self.forward_to(route, context, true);
            }
            Passage::Upgrade(protocol) => {
                self.count_handshake()?;
                self.forward_to(route, context, true);
                self.ledger.record.protocol = Some(protocol);
            }
        }
        Ok(())
    }

    /// Notes where the request goes, and who asks there.
    fn forward_to(&mut self, route: Arc<Route>, context: PickContext<'static>, is_handshake: bool) {
        self.context = context;
        self.ledger.record.target_group = Some(Arc::clone(&route.group.name));
        self.connection.wire.forward(route.limits.half_close);
        self.ledger.route = Some(route);
        self.is_handshake = is_handshake;
        self.awaits_body = is_handshake && self.has_body;
        if is_handshake && !self.has_body {
            self.begin_handshake();
        }
    }

    /// Nothing of what the client sends from here on is the request's.
    pub(super) fn begin_handshake(&self) {
        if let Some(route) = &self.ledger.route {
            let limit = route.handshake_timeout();
            self.connection.wire.begin_handshake(limit);
        }
    }

    /// Sets `X-Forwarded-For`, `-Proto` and `-Host` and `X-Request-Id` on the request that goes to
    /// the target. It goes in HTTP/1.1, where it must have a Host: what a client of HTTP/1.0 has
    /// not said is the target's.
    pub(in crate::proxy) fn tell_target(&self, request: &mut RequestHeader) -> Result<()> {
        // What conditions have seen already may be gone: Pingora removes what a client names in
        // Connection.
        headers::tell_certificate(self.client_certificate(), request)?;
        let peer = ip_text(self.peer_ip());
        if request.headers.contains_key(FORWARDED) {
            let all = forwarded::extended_forwarded(&request.headers, self.peer_ip());
            request.insert_header(FORWARDED, all)?;
        }
        let all = forwarded::extended(&request.headers, peer);
        request.insert_header(X_FORWARDED_FOR, all)?;
        if !request.headers.contains_key(X_FORWARDED_PROTO) {
            headers::tell_scheme(self.scheme(), request)?;
        }
        request.insert_header(X_REQUEST_ID, self.tracking_id())?;
        match request.headers.get(HOST).cloned() {
            Some(host) => request.insert_header(X_FORWARDED_HOST, host)?,
            None => {
                request.remove_header(&X_FORWARDED_HOST);
                if let Some(target) = self.target() {
                    request.insert_header(HOST, target.host())?;
                }
            }
        }
        Ok(())
    }
}
