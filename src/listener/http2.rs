//! HTTP/2 towards clients (RFC 9113): one connection, many requests and tunnels.
//!
//! Each stream is served by a task of its own. A plain request goes through Pingora as it is; the extended CONNECT of a WebSocket
//! (RFC 8441) takes the road of an HTTP/1.1 handshake, and its tunnel is relayed like all others. What a client may have in the
//! works is bounded here: one that breaks the protocol, or opens and resets streams faster than they end, is sent away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use h2::Reason;
use h2::ext::Protocol;
use h2::server::Connection as H2Connection;
use http::Method;
use http::header::RETRY_AFTER;
use pingora::apps::HttpServerApp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::{Connection, ForwardingRule, Limit};
use crate::proxy::Refusal;
use crate::telemetry::{CloseReason, RefusalReason};
use crate::tunnel::{ClientEnd, ClientStream, Http2Stream};

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all streams of a connection may have sent that nobody has taken yet, in bytes, and what h2 may spend on small frames among
/// that.
const CONNECTION_WINDOW: u32 = 1 << 20;
const SMALL_FRAMES: usize = 2 << 20;
/// What one stream may have waiting to be sent, in bytes.
const SEND_BUFFER: usize = 32 << 10;
/// How many malformed requests a connection may send.
const MOST_MALFORMED: usize = 32;
/// How long the last word to a client may take.
const LAST_WORD: Duration = Duration::from_secs(1);

type Connected = H2Connection<Stream, bytes::Bytes>;

/// Reads as long as it may become the preface.
pub(super) async fn read_preface(socket: &mut TcpStream, read: &mut Vec<u8>) {
    while read.len() < PREFACE.len() && PREFACE.starts_with(read) {
        let mut byte_limited = (&mut *socket).take((PREFACE.len() - read.len()) as u64);
        if !matches!(byte_limited.read_buf(read).await, Ok(1..)) {
            return;
        }
    }
}

/// Serves a connection of which these bytes have been read, to its end. Its type is forgotten: to prove that it may move between
/// threads takes the compiler long, and would be done for each future that it is part of.
pub(super) fn serve<'a, A: HttpServerApp + Send + Sync + 'static>(
    connection: &'a Arc<Connection>,
    stream: ClientStream,
    early: Vec<u8>,
    app: &'a Arc<A>,
    shutdown: &'a ShutdownWatch,
) -> BoxFuture<'a, ()> {
    Box::pin(shake_hands_and_serve(
        connection, stream, early, app, shutdown,
    ))
}

async fn shake_hands_and_serve<A: HttpServerApp + Send + Sync + 'static>(
    connection: &Arc<Connection>,
    stream: ClientStream,
    early: Vec<u8>,
    app: &Arc<A>,
    shutdown: &ShutdownWatch,
) {
    let rule = connection.rule.load_full();
    let limit = connection.patience(&rule);
    let wire = &connection.wire;
    wire.await_head(limit);
    wire.begin_exchange();
    wire.expect_body(None);
    let tap = connection.tap(stream, early);
    let shaken = tokio::select! {
        shaken = handshake(Box::new(tap), Some(options(&rule))) => shaken.ok(),
        () = connection.drain.waited_for(limit) => None,
    };
    let streams = TaskTracker::new();
    streams.close();
    let front = Front {
        connection,
        rule,
        app,
        shutdown,
        streams,
    };
    match shaken {
        Some(client) => front.serve(client).await,
        None if wire.read() == 0 => connection.refuse_unasked(&front.rule),
        None => front.blame("the preface did not arrive, or is none"),
    }
}

fn options(rule: &ForwardingRule) -> H2Options {
    let mut options = default_h2_options();
    // What the rule does not allow is answered with a line in the log; this only bounds memory. Each header counts 32 bytes more
    // (RFC 9113 section 6.5.2).
    let most_bytes = 2 * rule.bounds.header_bytes + 64 * rule.bounds.headers;
    options
        .max_header_list_size(u32::try_from(most_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(rule.max_concurrent_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    options
}

/// Where the streams of one connection come in.
struct Front<'a, A> {
    connection: &'a Arc<Connection>,
    rule: Arc<ForwardingRule>,
    app: &'a Arc<A>,
    shutdown: &'a ShutdownWatch,
    /// Those that are open, tunnels too.
    streams: TaskTracker,
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<'_, A> {
    /// Ends when the client does, when it has been silent for too long, or some time after it was told to go.
    async fn serve(&self, mut client: Connected) {
        let digest = Arc::new(Digest::default());
        let mut malformed = 0;
        let mut is_leaving = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.leaving(), if !is_leaving => {
                    client.graceful_shutdown();
                    is_leaving = true;
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut client, Arc::clone(&digest)) => accepted,
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => self.begin(session),
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    self.record(RefusalReason::BadRequest, "malformed request");
                }
                Ok(None) => return,
                Err(error) => return self.note(&error),
            }
            if let Some(excess) = self.excess(malformed) {
                self.blame(excess);
                client.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                timeout(LAST_WORD, std::future::poll_fn(|cx| client.poll_closed(cx)))
                    .await
                    .ok();
                return;
            }
        }
    }

    /// Returns when the client should be told to go: in a drain, with its listener, or when it has asked for nothing for long
    /// enough.
    async fn leaving(&self) {
        let idle = async {
            self.streams.wait().await;
            tokio::select! {
                () = sleep(self.connection.patience(&self.rule)) => {}
                () = self.connection.idle.cancelled() => {}
            }
        };
        tokio::select! {
            () = self.connection.drain.began().cancelled() => {}
            () = self.connection.closing.cancelled() => {}
            () = idle => {}
        }
    }

    /// What the client has too much of.
    fn excess(&self, malformed: usize) -> Option<&'static str> {
        // A stream that the client resets makes room for the next, but what was begun for it takes a moment to end.
        let most = 2 * self.rule.max_concurrent_streams as usize;
        if self.streams.len() > most {
            return Some("streams are opened and reset too fast");
        }
        (malformed >= MOST_MALFORMED).then_some("too many malformed requests")
    }

    fn begin(&self, mut session: HttpSession) {
        let stream = self.connection.stream(self.streams.token());
        if self.connection.refuses() {
            return refuse(&stream, &mut session, Refusal::beyond(Limit::Memory));
        }
        let (app, shutdown) = (Arc::clone(self.app), self.shutdown.clone());
        let serving = serve_stream(stream, session, app, shutdown);
        self.connection.drain.connections.spawn(serving);
    }

    /// The connection is over. A client that just goes is nothing to speak of.
    fn note(&self, error: &pingora::Error) {
        let cause = error.root_cause().downcast_ref::<h2::Error>();
        let is_gone = self.connection.wire.client_end() != ClientEnd::Open;
        match cause {
            Some(cause) if !cause.is_io() && !cause.is_remote() && !is_gone => {
                self.blame(&cause.to_string());
            }
            Some(_) | None => log::debug!("{}: HTTP/2: {error}", self.connection.client),
        }
    }

    fn blame(&self, cause: &str) {
        self.record(RefusalReason::Http2, &format!("HTTP/2: {cause}"));
    }

    /// What no exchange has begun of.
    fn record(&self, refusal: RefusalReason, cause: &str) {
        let mut record = self.connection.record(&self.rule);
        record.refusal = Some(refusal);
        record.error = Some(cause.to_owned());
        self.rule.metrics.count(&record, None);
        self.connection.write(&record, CloseReason::Refused);
    }
}

/// Its type is forgotten, too.
fn serve_stream<A: HttpServerApp + Send + Sync + 'static>(
    stream: Arc<Connection>,
    session: HttpSession,
    app: Arc<A>,
    shutdown: ShutdownWatch,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let serving = answer(&stream, session, &app, &shutdown);
        stream.until_stopped(serving).await;
    })
}

async fn answer<A: HttpServerApp + Send + Sync + 'static>(
    stream: &Arc<Connection>,
    mut session: HttpSession,
    app: &Arc<A>,
    shutdown: &ShutdownWatch,
) {
    match Kind::of(session.req_header()) {
        Kind::Plain => {
            let session = ServerSession::new_http2(session);
            app.process_new_http(session, shutdown).await;
        }
        Kind::WebSocket => {
            let carrier = stream.carrier().unwrap_or(stream);
            let websocket = Http2Stream::new(Box::new(session), Arc::clone(&carrier.wire));
            let websocket = ClientStream::Http2(Box::new(websocket));
            stream
                .serve_http1(websocket, Vec::new(), app, shutdown)
                .await;
        }
        Kind::Connect => refuse(stream, &mut session, Refusal::CONNECT),
    }
}

/// What a stream asks for.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    WebSocket,
    /// Any other CONNECT.
    Connect,
}

impl Kind {
    fn of(request: &RequestHeader) -> Self {
        if request.method != Method::CONNECT {
            return Kind::Plain;
        }
        match request.extensions.get::<Protocol>() {
            Some(protocol) if protocol.as_str() == "websocket" => Kind::WebSocket,
            Some(_) | None => Kind::Connect,
        }
    }
}

/// Answers without a body, which would wait for as long as the client likes.
fn refuse(stream: &Connection, session: &mut HttpSession, refusal: Refusal) {
    let rule = stream.rule.load();
    let mut record = stream.record(&rule);
    record.status = Some(refusal.status());
    record.refusal = Some(refusal.reason);
    record.error = Some(refusal.detail.to_owned());
    let answered =
        head_of(refusal).and_then(|head| session.write_response_header(Box::new(head), true));
    if let Err(error) = answered {
        log::debug!("{}: a refusal: {error}", stream.client);
    }
    rule.metrics.count(&record, None);
    stream.write(&record, CloseReason::Refused);
}

fn head_of(refusal: Refusal) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(refusal.status(), None)?;
    if let Some(seconds) = refusal.retry_after() {
        head.insert_header(RETRY_AFTER, seconds)?;
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: &str, protocol: Option<&'static str>) -> Kind {
        let mut request = http::Request::builder()
            .method(method)
            .uri("https://example.com/");
        if let Some(protocol) = protocol {
            request = request.extension(Protocol::from_static(protocol));
        }
        Kind::of(&request.body(()).unwrap().into_parts().0.into())
    }

    #[test]
    fn only_the_extended_connect_of_a_websocket_is_one() {
        assert_eq!(kind("CONNECT", Some("websocket")), Kind::WebSocket);
        assert_eq!(kind("CONNECT", Some("connect-udp")), Kind::Connect);
        assert_eq!(kind("CONNECT", None), Kind::Connect);
        assert_eq!(kind("GET", None), Kind::Plain);
    }
}
