//! What a connection goes through: what it is and its TLS, then request after request, to its end.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{CONNECTION, Connection};
use crate::forwarding_rule::ForwardingRule;
use crate::listener::http1::Turn;
use crate::listener::{http2, plain_http};
use crate::stream::ClientStream;
use crate::tap::Tap;
use crate::telemetry::RefusalReason;
use crate::tls::Tls;

impl Connection {
    /// Serves the connection to its end, or until all connections are told to stop.
    pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
        self: Arc<Self>,
        stream: TcpStream,
        app: Arc<A>,
        shutdown: ShutdownWatch,
    ) {
        let serving = async {
            let Some((stream, early)) = self.welcome(stream).await else {
                return;
            };
            match is_http2(&stream, &early) {
                true => http2::serve(&self, stream, early, &app, &shutdown).await,
                false => self.serve_http1(stream, early, &app, &shutdown).await,
            }
        };
        self.until_stopped(serving).await;
    }

    /// Does what the connection is for, or as much of it as there is time and memory for.
    pub(in crate::listener) async fn until_stopped(
        self: &Arc<Self>,
        serving: impl Future<Output = ()>,
    ) {
        // One that is only here to be told that it is one too many is not, besides, told to go.
        let mut member = match self.limit() {
            Some(_) => None,
            None => Some(self.load_shedding.enter(&self.waiting)),
        };
        let told = async {
            match &mut member {
                Some(member) => member.told().await,
                None => std::future::pending().await,
            }
            self.wire.begin_reset();
        };
        tokio::select! {
            biased;
            () = self.drain.stopped() => {}
            () = told => {}
            () = CONNECTION.scope(Arc::clone(self), serving) => {}
        }
        // What goes on is a tunnel.
        self.wire.end_reset();
    }

    /// Serves request after request of HTTP/1.1, the first of which begins with these bytes.
    pub(in crate::listener) async fn serve_http1<A: HttpServerApp + Send + Sync + 'static>(
        &self,
        stream: ClientStream,
        early: Vec<u8>,
        app: &Arc<A>,
        shutdown: &ShutdownWatch,
    ) {
        let mut tap = Box::new(self.tap(stream, early));
        let mut settings = None;
        loop {
            let mut turn = Turn::begin(self);
            // Pingora takes ten times as much for it.
            if !tap.has_head().await {
                return;
            }
            turn.note_head(tap.head_text());
            let session = session(tap, settings);
            let reused = app.process_new_http(session, shutdown).await;
            drop(turn);
            let reused = reused.map(ReusedHttpStream::consume);
            let Some((Ok(stream), kept)) =
                reused.map(|(stream, kept)| (stream.into_any().downcast(), kept))
            else {
                return;
            };
            (tap, settings) = (stream, kept);
            // A client may have sent the next ones already, and others have waited meanwhile.
            tokio::task::yield_now().await;
        }
    }

    /// Its stream, of which these bytes have been read already.
    pub(in crate::listener) fn tap(&self, stream: ClientStream, early: Vec<u8>) -> Tap {
        let bounds = self.rule.load().bounds;
        let leaving = CancellationToken::clone(&self.idle);
        let (wire, hand_over) = (Arc::clone(&self.wire), Arc::clone(&self.hand_over));
        Tap::after(early, stream, wire, hand_over, leaving, bounds)
    }

    /// What requests are read from, and what was read of them to see what they are: where the rule
    /// has TLS, there is a handshake first. `None` if nothing comes of that.
    async fn welcome(&self, mut socket: TcpStream) -> Option<(ClientStream, Vec<u8>)> {
        let rule = self.rule.load_full();
        if let Some(tls) = &rule.tls {
            let shaken = Box::pin(self.shake_hands(&rule, tls, socket)).await;
            return shaken.map(|stream| (stream, Vec::new()));
        }
        let mut early = Vec::new();
        if rule.h2c {
            tokio::select! {
                () = http2::read_preface(&mut socket, &mut early) => {}
                () = self.drain.waited_for(self.patience(&rule)) => {}
            }
            if early.is_empty() {
                self.refuse_unasked(&rule);
                return None;
            }
        }
        Some((ClientStream::Plain(socket), early))
    }

    /// A client that says nothing at all is left without a word, and not counted.
    async fn shake_hands(
        &self,
        rule: &ForwardingRule,
        tls: &Tls,
        socket: TcpStream,
    ) -> Option<ClientStream> {
        let mut late = pin!(self.drain.waited_for(self.patience(rule)));
        let mut first = [0];
        let is_silent = tokio::select! {
            first = socket.peek(&mut first) => !matches!(first, Ok(1)),
            () = &mut late => true,
        };
        if is_silent {
            self.refuse_unasked(rule);
            return None;
        }
        if plain_http::is_begun_by(first[0]) {
            rule.metrics
                .refuse(RefusalReason::TlsHandshake, self.client.into());
            plain_http::refuse(socket).await;
            return None;
        }
        if let Err(limit) = rule.rates.tls_handshakes.count(self.counted) {
            rule.metrics.refuse(limit.reason(), self.client.into());
            return None;
        }
        let shaken = tokio::select! {
            shaken = tls.accept(socket) => shaken,
            () = &mut late => Err(io::ErrorKind::TimedOut.into()),
        };
        match shaken {
            Ok((stream, session)) => {
                self.tls.set(Arc::new(session)).ok();
                Some(stream)
            }
            Err(error) => {
                log::debug!("{}: TLS handshake: {error}", self.client);
                rule.metrics
                    .refuse(RefusalReason::TlsHandshake, self.client.into());
                None
            }
        }
    }
}

/// A request on this stream, with what Pingora keeps from one to the next; the first may be
/// followed by others.
fn session(tap: Box<Tap>, settings: Option<HttpPersistentSettings>) -> ServerSession {
    let mut session = ServerSession::new_http1(tap);
    match settings {
        None => session.set_keepalive(Some(0)),
        Some(settings) => settings.apply_to_session(&mut session),
    }
    session
}

fn is_http2(stream: &ClientStream, early: &[u8]) -> bool {
    stream.has_chosen_http2() || early == http2::PREFACE
}
