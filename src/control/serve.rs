//! The connections of a control address: few, and none of them for long without a request, or in
//! the way of one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http::uri::Scheme;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::sign::CertifiedKey;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::slots::{Client, Slot, Slots};
use crate::listener::control::{Acceptor, ControlListener, Peer, Stream, accept};
use crate::listener::{Ends, FailedAccepts, REST, is_passing};
use crate::telemetry::diagnostics::OUTSIDE;
use crate::tls::one_certificate;

/// How long a request's head may take, and a connection be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long whoever has asked for nothing yet may take for it when the address closes.
const FIRST: Duration = Duration::from_secs(2);
/// How large a head may be.
const LARGEST_HEAD: usize = 16 << 10;
/// How long one that gives way may take to go.
const GOING: Duration = Duration::from_millis(5);

/// The certificate that is shown to whoever comes now; `None` where no TLS is spoken. The error
/// tells why there is none.
pub type Shows = Arc<dyn Fn() -> Result<Option<Arc<CertifiedKey>>, String> + Send + Sync>;

/// What is spoken with a client.
type Spoken = Either<Stream, TlsStream<Stream>>;

/// What serves whoever comes to a control address. A request has these with it: the [`Peer`], the
/// [`Client`], the [`Scheme`], and a token that is cancelled when the address closes.
#[derive(Clone)]
pub struct Server {
    /// The slots.
    pub slots: Arc<Slots>,
    /// What requests are answered by.
    pub router: Router,
    /// The certificate.
    pub shows: Shows,
}

impl Server {
    /// Begins to serve.
    pub fn start(self, listener: &ControlListener) {
        let (name, connections) = (listener.name(), listener.connections().clone());
        listener.start(Box::new(move |acceptor, ends| {
            let connections = connections.clone();
            tokio::spawn(serve(name, acceptor, ends, connections, self.clone()));
        }));
    }
}

/// Accepts and serves until it is told to close; what has begun is completed then.
async fn serve(
    name: &'static str,
    acceptor: Acceptor,
    ends: Ends,
    connections: TaskTracker,
    server: Server,
) {
    let (mut failed, slots) = (FailedAccepts::default(), &server.slots);
    while let Some(accepted) = ends.accepting.run_until_cancelled(accept(&acceptor)).await {
        match accepted {
            Ok((stream, peer)) => {
                failed.end(name);
                let slot = slots.enter().await;
                let connection = Connection {
                    name,
                    peer,
                    slot,
                    closing: ends.closing.clone(),
                };
                connections.spawn(connection.serve(stream, server.clone()));
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                failed.note(name, &error);
                // Its file is of use to the next, if that is what is missing.
                let rest = if slots.make_way() { GOING } else { REST };
                ends.accepting.run_until_cancelled(sleep(rest)).await;
            }
        }
    }
}

/// A connection that was accepted.
struct Connection {
    name: &'static str,
    peer: Peer,
    slot: Slot,
    closing: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: Stream, server: Server) {
        let Connection { name, peer, .. } = self;
        let served = async {
            match shake_hands(stream, &server.shows).await {
                Ok(stream) => {
                    if let Err(error) = self.converse(stream, server.router).await {
                        log::debug!("{name}: {peer}: {error}");
                    }
                }
                Err(error) => log::warn!(target: OUTSIDE, "{name}: {peer}: TLS: {error}"),
            }
        };
        tokio::select! {
            biased;
            () = served => {}
            () = self.slot.client.leaves() => {
                log::debug!("{name}: {peer}: gives way to another");
            }
        }
    }

    async fn converse(&self, stream: Spoken, router: Router) -> hyper::Result<()> {
        let scheme = match &stream {
            Either::Left(_) => Scheme::HTTP,
            Either::Right(_) => Scheme::HTTPS,
        };
        let service = TowerToHyperService::new(router);
        let (client, peer, closing) = (&self.slot.client, self.peer, &self.closing);
        let answer = service_fn(|mut request: Request<Incoming>| {
            let with = request.extensions_mut();
            with.insert(peer);
            with.insert(scheme.clone());
            // What has no end of its own ends with it.
            with.insert(closing.clone());
            with.insert(Arc::clone(client));
            let (answer, client) = (service.call(request), Arc::clone(client));
            async move { answer.await.map(|answer| watched(answer, client)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = std::pin::pin!(connection);
        let is_to_close = async {
            closing.cancelled().await;
            // It may have come a moment ago, and would get no answer.
            client.asks(FIRST).await;
        };
        tokio::select! {
            served = connection.as_mut() => served,
            () = is_to_close => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }
}

async fn shake_hands(stream: Stream, shows: &Shows) -> io::Result<Spoken> {
    let Some(key) = shows().map_err(io::Error::other)? else {
        return Ok(Either::Left(stream));
    };
    let acceptor = one_certificate(key).map_err(io::Error::other)?;
    let shaken = timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake takes too long");
    shaken.map_err(late)?.map(Either::Right)
}

/// The answer as it is; while it is taken, and once it is, its client says so.
fn watched(answer: Response<Body>, client: Arc<Client>) -> Response<Body> {
    client.is_answered();
    answer.map(|body| Body::new(Taken { body, client }))
}

/// The body of an answer, which tells when nobody needs it any more.
struct Taken {
    body: Body,
    client: Arc<Client>,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.client.is_served();
    }
}
