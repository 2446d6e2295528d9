//! One stream of HTTP/2, as a connection of its own: it gets a place, and what it asks for is
//! served.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use h2::ext::Protocol;
use http::Method;
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use pingora::apps::HttpServerApp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::forwarding_rule::Limit;
use crate::listener::Connection;
use crate::listener::http2_session::Http2Session;
use crate::listener::permits::{Purpose, Slots};
use crate::refusal::Refusal;
use crate::request_line;
use crate::stream::{ClientStream, Http2Request, Http2Stream};
use crate::tap::{ALLOW, Demand};
use crate::telemetry::CloseReason;

/// How long a stream waits for a place before it is looked again, each time.
const PAUSES_MILLIS: [u64; 4] = [2, 8, 30, 60];

/// What it takes to make a stream a connection of its own.
pub(super) struct Admission {
    pub(super) carrier: Arc<Connection>,
    pub(super) own: Arc<Slots>,
    pub(super) token: TaskTrackerToken,
}

impl Admission {
    /// Waits a moment where there is no place: one whose answer has just been sent is about to be
    /// free.
    async fn admit(self, purpose: Purpose) -> Arc<Connection> {
        let mut place = self.carrier.admit_stream(purpose, &self.own);
        for pause in PAUSES_MILLIS {
            if place.is_ok() || self.carrier.limit().is_some() {
                break;
            }
            sleep(Duration::from_millis(pause)).await;
            place = self.carrier.admit_stream(purpose, &self.own);
        }
        self.carrier.stream(self.token, place)
    }
}

/// Serves a stream to its end. Its type is forgotten, too.
pub(super) fn serve_stream<A: HttpServerApp + Send + Sync + 'static>(
    admission: Admission,
    mut request: Http2Request,
    app: Arc<A>,
    shutdown: ShutdownWatch,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let purpose = Kind::of(&request.head).purpose();
        if admission.carrier.refuses() {
            let stream = admission
                .carrier
                .stream(admission.token, Err(Limit::Memory));
            return refuse(&stream, &mut request, Refusal::beyond(Limit::Memory));
        }
        let stream = admission.admit(purpose).await;
        let serving = answer(&stream, request, &app, &shutdown);
        stream.until_stopped(serving).await;
    })
}

async fn answer<A: HttpServerApp + Send + Sync + 'static>(
    stream: &Arc<Connection>,
    mut request: Http2Request,
    app: &Arc<A>,
    shutdown: &ShutdownWatch,
) {
    match Kind::of(&request.head) {
        Kind::Plain => {
            let rule = stream.rule.load();
            let demand = Demand {
                limit: stream.patience(&rule),
                rate: rule.bounds.minimum_rate,
            };
            drop(rule);
            let carrier = Arc::clone(&stream.carrier().unwrap_or(stream).wire);
            let session = Http2Session::new(request, Arc::clone(&stream.wire), carrier, demand);
            let session = ServerSession::new_custom(Box::new(session));
            Box::pin(app.process_new_http(session, shutdown)).await;
        }
        Kind::WebSocket => {
            let carrier = stream.carrier().unwrap_or(stream);
            let websocket = Http2Stream::new(Box::new(request), Arc::clone(&carrier.wire));
            let websocket = ClientStream::Http2(Box::new(websocket));
            Box::pin(stream.serve_http1(websocket, Vec::new(), app, shutdown)).await;
        }
        Kind::Connect => refuse(stream, &mut request, Refusal::CONNECT),
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
            Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => {
                Kind::WebSocket
            }
            Some(_) | None => Kind::Connect,
        }
    }

    fn purpose(&self) -> Purpose {
        match self {
            Kind::WebSocket => Purpose::Tunnel,
            Kind::Plain | Kind::Connect => Purpose::Plain,
        }
    }
}

/// Answers without a body, which would wait for as long as the client likes.
fn refuse(stream: &Connection, request: &mut Http2Request, refusal: Refusal) {
    let rule = stream.rule.load();
    let mut record = stream.record(&rule);
    record.status = Some(refusal.status());
    record.refusal = Some(refusal.reason);
    record.error = Some(refusal.detail.to_owned());
    let style = stream.log.style();
    request_line::note_stream(&mut record, &mut request.head, &style.redaction);
    if let Ok(mut head) = head_of(refusal)
        && let Err(error) = request.send_head(&mut head, true)
    {
        log::debug!("{}: a refusal: {error}", stream.client);
    }
    rule.metrics.count(&record, None);
    stream.write(&record, CloseReason::Refused);
}

fn head_of(refusal: Refusal) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(refusal.status(), None)?;
    head.insert_header(CACHE_CONTROL, "no-store")?;
    if refusal == Refusal::CONNECT {
        head.insert_header(http::header::ALLOW, ALLOW)?;
    }
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
        assert_eq!(kind("CONNECT", Some("WebSocket")), Kind::WebSocket);
        assert_eq!(kind("CONNECT", Some("connect-udp")), Kind::Connect);
        assert_eq!(kind("CONNECT", None), Kind::Connect);
        assert_eq!(kind("GET", None), Kind::Plain);
    }
}
