//! Which requests may go on: by the limits of their forwarding rule, by what they are, and, for a handshake, by whose it is.

use std::net::IpAddr;

use http::HeaderValue;
use pingora::http::RequestHeader;

use super::Exchange;
use crate::forwarding_rule::{Limit, Route};
use crate::proxy::refusal::Refusal;
use crate::proxy::smuggling;
use crate::rules::Offer;

/// A part of an answer that is shorter goes out whatever the client does: nobody waits for it.
const SHORT: usize = 2 << 10;

impl Exchange {
    /// Refuses a request on a connection that is one too many, one that is itself one too many, and one that is unsound.
    pub(in crate::proxy) fn admit(&self, head: &RequestHeader) -> Result<(), Refusal> {
        if let Some(limit) = self.connection.limit() {
            return Err(Refusal::beyond(limit));
        }
        if self.connection.refuses() {
            return Err(Refusal::beyond(Limit::Memory));
        }
        self.connection.waits(self.has_body);
        let counted = self.rule.rates.requests.count(self.counted());
        counted.map_err(Refusal::beyond)?;
        smuggling::check(head, &self.rule.bounds)
    }

    /// Refuses a handshake that may not be made where it leads, or is one too many. The subprotocols that may go there, if not
    /// all that it asks for.
    pub(in crate::proxy) fn admit_handshake(
        &self,
        head: &RequestHeader,
        route: &Route,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let origins = route.origins.as_ref();
        if origins.is_some_and(|origins| !origins.allow(&head.headers)) {
            return Err(Refusal::ORIGIN);
        }
        let subprotocols = route.subprotocols.as_ref();
        let offer = subprotocols.map(|allowed| allowed.offer(&head.headers));
        if offer == Some(Offer::Nothing) {
            return Err(Refusal::SUBPROTOCOL);
        }
        self.count_handshake()?;
        match offer {
            Some(Offer::Part(left)) => Ok(Some(left)),
            Some(Offer::Whole | Offer::Nothing) | None => Ok(None),
        }
    }

    /// Refuses a handshake that is one too many.
    pub(in crate::proxy) fn count_handshake(&self) -> Result<(), Refusal> {
        let counted = self.rule.rates.handshakes.count(self.counted());
        counted.map_err(Refusal::beyond)
    }

    /// Notes that a part of the request's body has come, which may be its last.
    pub(in crate::proxy) fn body_came(&self, is_last: bool) {
        self.connection.waits(!is_last);
    }

    /// Notes that a part of the answer's body goes out, of this many bytes.
    pub(in crate::proxy) fn body_goes(&self, bytes: usize) {
        self.connection.waits(bytes >= SHORT);
    }

    /// Refuses a body that turns out to be too large.
    pub(in crate::proxy) fn take_body(&mut self, bytes: usize) -> Result<(), Refusal> {
        let left = self.body_left.checked_sub(bytes as u64);
        self.body_left = left.ok_or(Refusal::BODY_TOO_LARGE)?;
        Ok(())
    }

    /// Whom the request is counted for: nobody where it is a proxy's own, which asks for many.
    fn counted(&self) -> Option<IpAddr> {
        Some(self.client_ip()).filter(|client| !self.rule.trusted.contain(*client))
    }
}
