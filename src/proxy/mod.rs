//! Pingora's phases, in the order in which a request meets them. Each is a doorway into one room.
//!
//! A request that cannot go on leaves by a `Refusal`, and `fail_to_proxy` is the only place that
//! answers one.

mod challenge;
mod changes;
mod choice;
mod copies;
mod cors;
mod decide;
mod exchange;
mod facts;
mod forwarded;
mod framing;
mod handshake;
mod headers;
mod http2;
mod hypothetical;
mod ledger;
mod proxy_protocol;
mod response;
mod scheme;
mod smuggling;
mod tls_failure;
mod trailers;
mod untrusted_headers;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{HttpPeer, ProxyHttp, Session};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyWarnLogContext};
use pingora::{BError, Error, Result};
use tokio::sync::Semaphore;

use crate::listener::{CONNECTION, Connection};
use crate::target_connection::Pool;
pub use decide::{Decision, Forward, Outcome, Passage};
pub use exchange::Exchange;
pub use hypothetical::{Arrived, Hypothetical};

/// The proxy. What a request needs comes with its connection; what is its own are the connections
/// to targets that wait.
#[derive(Debug)]
pub struct Proxy {
    pool: Arc<Pool>,
    /// For copies of requests that are under way.
    room: Arc<Semaphore>,
}

impl Proxy {
    /// A proxy that keeps connections to targets in this pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        let room = Semaphore::new(pool.copies());
        Proxy {
            pool,
            room: Arc::new(room),
        }
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Proxy::new(Arc::default())
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::begin(CONNECTION.with(Arc::<Connection>::clone))
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        exchange.read_head(session);
        exchange.admit()?;
        let rule = exchange.rule();
        let sender = exchange.sender(session);
        decide::clean(&rule, &sender, session.req_header_mut())?;
        challenge::seek(&rule, session.req_header()).await;
        let decision = decide::decide(&rule, &sender, session.req_header());
        if let Some(rule) = decision.rule {
            exchange.matched(rule);
        }
        let answered = match decision.outcome? {
            Outcome::Static(answer) => response::send_static(session, answer).await,
            Outcome::Redirect(redirect, location) => {
                response::send_redirect(session, redirect, location).await
            }
            Outcome::Preflight(told) => response::send_preflight(session, told).await,
            Outcome::Challenge(answer) => response::send_challenge(session, answer).await,
            Outcome::Forward(forward) => {
                exchange.forward(session, forward)?;
                return Ok(false);
            }
        };
        answered.map_err(|error| error.into_down())?;
        Ok(true)
    }

    /// A part without bytes is none: at the end Pingora would write it as a last chunk, and another
    /// after it.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        part: &mut Option<Bytes>,
        is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if is_end {
            part.take_if(|part| part.is_empty());
        }
        exchange.take_body(part.as_ref().map_or(0, Bytes::len))?;
        exchange.copy_body(part.as_deref().unwrap_or_default(), is_end, &self.room);
        exchange.body_came(is_end);
        if is_end {
            exchange.request_ended(session.req_header());
        }
        Ok(())
    }

    async fn upstream_peer(
        &self,
        _: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        exchange.pause().await?;
        Ok(exchange.pick(&self.pool)?)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        exchange: &mut Exchange,
        mut error: BError,
    ) -> BError {
        let is_retried = exchange.connect_failed(&error);
        error.set_retry(is_retried);
        error
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: std::os::fd::RawFd,
        _: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.connected(reused);
        Ok(())
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: BError,
        exchange: &mut Exchange,
        reused: bool,
    ) -> BError {
        exchange.connection_broken(session, error, reused)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.tell_target(request)?;
        if exchange.other_protocol().is_some() {
            handshake::ask_again(session.req_header(), request)?;
        }
        if let Some(route) = exchange.route() {
            changes::of_request(route, &exchange.facts(session.req_header()), request)?;
        }
        exchange.copy_head(request, &self.room);
        exchange.send_request(session, request)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.check_status(session, answer)?;
        exchange.expect_answer(session, answer)?;
        // The client speaks with us (RFC 9112 section 2.3).
        answer.set_version(Version::HTTP_11);
        headers::forget_connection(answer);
        if let Some(route) = exchange.route() {
            if let Some(cors) = &route.cors {
                cors::of_answer(cors, &session.req_header().headers, answer)?;
            }
            changes::of_answer(route, &exchange.facts(session.req_header()), answer)?;
        }
        exchange.answered(session, answer)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        answer: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if exchange.is_handshake_in_http2(session)
            || session.req_header().version == Version::HTTP_10
        {
            headers::suit_end_of_connection(session, answer);
        }
        exchange.announce_trailers(session, answer)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        part: &mut Option<Bytes>,
        is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        let bytes = part.as_ref().map_or(0, Bytes::len);
        exchange.pass_body(bytes);
        exchange.body_goes(bytes);
        if is_end {
            exchange.answer_ended();
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let Some(refusal) = exchange.refuse(error, session) else {
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        };
        let sent = refusal.send(session).await;
        if exchange.is_handshake_in_http2(session) {
            // A stream that is dropped without an end is reset, and what it has been told goes with
            // it.
            session.as_downstream_mut().shutdown().await;
        }
        let can_reuse_downstream = sent.is_ok() && refusal.keeps_connection();
        FailToProxy {
            error_code: refusal.status(),
            can_reuse_downstream,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        exchange.close(session, error);
        exchange.drain_request(session, error).await;
    }

    fn request_summary(&self, _: &Session, exchange: &Exchange) -> String {
        format!("exchange {}", exchange.tracking_id())
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
