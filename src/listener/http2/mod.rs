//! HTTP/2 towards clients (RFC 9113): one connection, many requests and tunnels.
//!
//! Each stream is served by a task of its own. A plain request goes through Pingora as it is; the
//! extended CONNECT of a WebSocket (RFC 8441) takes the road of an HTTP/1.1 handshake, and its
//! tunnel is relayed like all others. What a client may have in the works is bounded here: one that
//! breaks the protocol, or opens and resets streams faster than they end, is sent away.

mod farewell;
mod fields;
mod frames;
mod huffman;
mod name;
mod one_stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::{Builder, Connection as H2Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderValue, Request};
use pingora::apps::HttpServerApp;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::permits::Slots;
use super::{Connection, ForwardingRule};
use crate::stream::{ClientEnd, ClientStream, Framing, Http2Request};
use crate::telemetry::{CloseReason, RefusalReason};
use farewell::Farewell;
use frames::{Faults, Frames};
use one_stream::{Admission, serve_stream};

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all streams of a connection may have sent that nobody has taken yet, in bytes, and what h2
/// may spend on small frames among that.
const CONNECTION_WINDOW: u32 = 256 << 10;
const SMALL_FRAMES: usize = 2 << 20;
/// What one stream may have waiting to be sent, in bytes.
const SEND_BUFFER: usize = 8 << 10;
/// How many malformed requests a connection may send.
const MOST_MALFORMED: usize = 32;
/// How long the last word to a client may take.
const LAST_WORD: Duration = Duration::from_secs(1);

type Connected = H2Connection<Frames, Bytes>;

/// Reads as long as it may become the preface.
pub(super) async fn read_preface(socket: &mut TcpStream, read: &mut Vec<u8>) {
    while read.len() < PREFACE.len() && PREFACE.starts_with(read) {
        let mut byte_limited = (&mut *socket).take((PREFACE.len() - read.len()) as u64);
        if !matches!(byte_limited.read_buf(read).await, Ok(1..)) {
            return;
        }
    }
}

/// Serves a connection of which these bytes have been read, to its end. Its type is forgotten: to
/// prove that it may move between threads takes the compiler long, and would be done for each
/// future that it is part of.
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
    wire.expect_body(Framing::UntilClose);
    let tap = connection.tap(stream, early);
    let (frames, faults) = Frames::new(tap, PREFACE.len(), most_header_bytes(&rule));
    let shaken = tokio::select! {
        shaken = options(&rule).handshake(frames) => shaken.ok(),
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
        own: Arc::default(),
        faults,
    };
    match shaken {
        Some(client) => front.serve(client).await,
        None if wire.read() == 0 => connection.refuse_unasked(&front.rule),
        None => front.blame("the preface did not arrive, or is none"),
    }
}

fn options(rule: &ForwardingRule) -> Builder {
    let mut options = Builder::new();
    options
        .max_header_list_size(u32::try_from(most_header_bytes(rule)).unwrap_or(u32::MAX))
        .max_concurrent_streams(rule.max_concurrent_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(SMALL_FRAMES)
        .max_send_buffer_size(SEND_BUFFER);
    if rule.http2_web_sockets {
        options.enable_connect_protocol();
    }
    options
}

/// What the rule does not allow is answered with a line in the log; this only bounds memory. Each
/// header counts 32 bytes more (RFC 9113 section 6.5.2).
fn most_header_bytes(rule: &ForwardingRule) -> usize {
    2 * rule.bounds.header_bytes + 64 * rule.bounds.headers
}

/// Where the streams of one connection come in.
struct Front<'a, A> {
    connection: &'a Arc<Connection>,
    rule: Arc<ForwardingRule>,
    app: &'a Arc<A>,
    shutdown: &'a ShutdownWatch,
    /// Those that are open, tunnels too.
    streams: TaskTracker,
    /// The connection's own place, which one of them has.
    own: Arc<Slots>,
    /// What h2 resets streams for before they are any.
    faults: Arc<Faults>,
}

/// How far a connection has come.
#[derive(Default)]
struct Course {
    /// How many malformed requests there were.
    malformed: usize,
    /// Once the client was told to go.
    farewell: Option<Farewell>,
}

/// A stream that a client has begun.
type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Event {
    /// The client should be told to go.
    Leave,
    /// It may have had its time.
    Look,
    /// h2 resets streams that are none yet.
    Faults(Vec<&'static str>),
    Accepted(Result<Option<Accepted>, h2::Error>),
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<'_, A> {
    /// Ends when the client does, when it has been silent for too long, or some time after it was
    /// told to go.
    async fn serve(&self, mut client: Connected) {
        let mut course = Course::default();
        loop {
            let is_over = match self.next(&mut client, &course).await {
                Event::Leave => {
                    client.graceful_shutdown();
                    course.farewell = Some(Farewell::now(self.connection.patience(&self.rule)));
                    None
                }
                Event::Look => self.look(&client, &mut course),
                Event::Faults(faults) => {
                    for fault in faults {
                        self.record_malformed(&mut course, fault);
                    }
                    None
                }
                Event::Accepted(Ok(Some((request, answer)))) => {
                    match Http2Request::accept(request, answer) {
                        Some(request) => self.take_in(request, &mut course),
                        None => self.record_malformed(&mut course, "it is no request"),
                    }
                    // There may be a hundred more, and others have waited meanwhile.
                    tokio::task::yield_now().await;
                    None
                }
                Event::Accepted(Ok(None)) => return,
                Event::Accepted(Err(error)) => return self.note(&error),
            };
            if let Some(reason) = is_over.or_else(|| self.is_excessive(&course)) {
                return end(client, reason).await;
            }
        }
    }

    async fn next(&self, client: &mut Connected, course: &Course) -> Event {
        let farewell = course.farewell.as_ref();
        tokio::select! {
            biased;
            () = self.leaving(), if farewell.is_none() => Event::Leave,
            () = self.looked(farewell), if farewell.is_some() => Event::Look,
            faults = self.faults.next() => Event::Faults(faults),
            accepted = client.accept() => Event::Accepted(accepted.transpose()),
        }
    }

    /// Whether a client that was told to go has had its time.
    fn look(&self, client: &Connected, course: &mut Course) -> Option<Reason> {
        let written = self.connection.wire.written();
        let farewell = course.farewell.as_mut()?;
        let is_waited_for = client.has_streams() && farewell.waits(written);
        (!is_waited_for).then_some(Reason::NO_ERROR)
    }

    fn take_in(&self, mut request: Http2Request, course: &mut Course) {
        if let Some(farewell) = &mut course.farewell {
            if farewell.is_over() {
                return self.turn_away(request, farewell);
            }
            farewell.end = None;
        }
        // Where the frames could not be followed nobody else has looked.
        if request.head.headers.values().any(is_framed_by_space) {
            request.reset(Reason::PROTOCOL_ERROR);
            return self.record_malformed(course, "the value of a field is malformed");
        }
        self.begin(request);
    }

    /// Returns when it is to be looked whether a client that was told to go has taken all: once
    /// nothing is served any more.
    async fn looked(&self, farewell: Option<&Farewell>) {
        self.streams.wait().await;
        if let Some(farewell) = farewell {
            sleep_until(farewell.next_look).await;
        }
    }

    /// Returns when the client should be told to go: in a drain, with its listener, or when it has
    /// asked for nothing for long enough.
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

    /// Blames a client that has too much of something.
    fn is_excessive(&self, course: &Course) -> Option<Reason> {
        // A stream that the client resets makes room for the next, but what was begun for it takes
        // a moment to end.
        let most = self.rule.max_concurrent_streams as usize;
        // Not more can have been on their way when it was told to go.
        let late = course.farewell.as_ref().map_or(0, |farewell| farewell.late);
        let excess = match () {
            () if self.streams.len() > 2 * most => "streams are opened and reset too fast",
            () if late > most => "streams are opened after GOAWAY",
            () if course.malformed >= MOST_MALFORMED => "too many malformed requests",
            () => return None,
        };
        self.blame(excess);
        Some(Reason::ENHANCE_YOUR_CALM)
    }

    /// It may be tried again, elsewhere (RFC 9113 section 8.7).
    fn turn_away(&self, mut request: Http2Request, farewell: &mut Farewell) {
        farewell.late += 1;
        request.reset(Reason::REFUSED_STREAM);
        self.blame("a stream came after GOAWAY");
    }

    fn begin(&self, request: Http2Request) {
        let admission = Admission {
            carrier: Arc::clone(self.connection),
            own: Arc::clone(&self.own),
            token: self.streams.token(),
        };
        let (app, shutdown) = (Arc::clone(self.app), self.shutdown.clone());
        let serving = serve_stream(admission, request, app, shutdown);
        self.connection.drain.connections.spawn(serving);
    }

    /// The connection is over. A client that just goes is nothing to speak of.
    fn note(&self, error: &h2::Error) {
        let is_gone = self.connection.wire.client_end() != ClientEnd::Open;
        match error.is_io() || error.is_remote() || is_gone {
            true => log::debug!("{}: HTTP/2: {error}", self.connection.client),
            false => self.blame(&error.to_string()),
        }
    }

    fn blame(&self, cause: &str) {
        self.record(RefusalReason::Http2, &format!("HTTP/2: {cause}"));
    }

    fn record_malformed(&self, course: &mut Course, fault: &str) {
        course.malformed += 1;
        self.record(
            RefusalReason::BadRequest,
            &format!("malformed request: {fault}"),
        );
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

/// Whether a value begins or ends with white space (RFC 9113 section 8.2.1).
fn is_framed_by_space(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Ends a connection, whatever is open on it, and waits a moment for that to be heard.
async fn end(mut client: Connected, reason: Reason) {
    client.abrupt_shutdown(reason);
    timeout(LAST_WORD, std::future::poll_fn(|cx| client.poll_closed(cx)))
        .await
        .ok();
}
