//! A request goes where it was decided: as a plain one, or as a handshake, which may be one too
//! many.

use std::sync::Arc;

use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use pingora::Result;
use pingora::prelude::Session;

use super::Exchange;
use crate::forwarding_rule::Route;
use crate::proxy::decide::{Forward, Passage};
use crate::target_group::PickContext;

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
        let head = session.req_header_mut();
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
}
