//! Copies of the request, where its rule wants some.

use std::sync::Arc;

use pingora::http::RequestHeader;
use pingora::prelude::Session;
use tokio::sync::Semaphore;

use super::Exchange;
use crate::forwarding_rule::Route;
use crate::proxy::copies::Copies;
use crate::proxy::{choice, proxy_protocol};

impl Exchange {
    /// Chooses who gets a copy of this request.
    pub(super) fn begin_copies(&mut self, session: &Session, route: &Route) {
        if let Some(mirrors) = &route.mirrors {
            let sender = self.sender(session);
            let request = sender.request(session.req_header());
            self.copies = Copies::begin(mirrors, |group| choice::context(group, &request));
        }
    }

    /// The head of the request is about to be sent to the target. `room` is for copies.
    pub(in crate::proxy) fn copy_head(&mut self, head: &RequestHeader, room: &Arc<Semaphore>) {
        if let Some(copies) = &mut self.copies {
            copies.begin_try(head);
            if !self.has_body {
                self.send_copies(room);
            }
        }
    }

    /// A part of the body, which may be the last, is about to be sent to the target.
    pub(in crate::proxy) fn copy_body(&mut self, part: &[u8], is_end: bool, room: &Arc<Semaphore>) {
        if let Some(copies) = &mut self.copies {
            copies.add(part);
            if is_end {
                self.send_copies(room);
            }
        }
    }

    fn send_copies(&mut self, room: &Arc<Semaphore>) {
        let Some(copies) = self.copies.take() else {
            return;
        };
        (*copies).send(room, self.has_body, |target| {
            proxy_protocol::header(
                target.proxy_protocol,
                self.client(),
                self.connection.local,
                self.connection.tls(),
                self.is_secure(),
            )
        });
    }
}
