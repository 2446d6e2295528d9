//! Which requests may go on: by the limits of their forwarding rule, and by how many others there
//! are.

use std::net::IpAddr;

use super::Exchange;
use crate::forwarding_rule::Limit;
use crate::refusal::Refusal;

/// A part of an answer that is shorter goes out whatever the client does: nobody waits for it.
const SHORT: usize = 2 << 10;

impl Exchange {
    /// Refuses a request on a connection that is one too many, and one that is itself one too many.
    pub(in crate::proxy) fn admit(&self) -> Result<(), Refusal> {
        if let Some(limit) = self.connection.limit() {
            return Err(Refusal::beyond(limit));
        }
        if self.connection.refuses() {
            return Err(Refusal::beyond(Limit::Memory));
        }
        self.connection.waits(self.has_body);
        let counted = self.rule.rates.requests.count(self.counted());
        counted.map_err(Refusal::beyond)
    }

    /// Refuses a handshake that is one too many.
    pub(super) fn count_handshake(&self) -> Result<(), Refusal> {
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
