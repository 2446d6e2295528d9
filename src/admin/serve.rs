//! The connections of the admin address: few, and none of them for long without a request, or in
//! the way of one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::slots::{Client, Slot, Slots};
use crate::listener::admin::{Acceptor, Peer, Stream, accept};
use crate::listener::{Ends, FailedAccepts, REST, is_passing};

/// How long a request's head may take, and a connection be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long whoever has asked for nothing yet may take for it when the address closes.
const FIRST: Duration = Duration::from_secs(2);
/// How large a head may be.
const LARGEST_HEAD: usize = 16 << 10;
/// How long one that gives way may take to go.
const GOING: Duration = Duration::from_millis(5);
/// What it is called in the diagnostics.
const NAME: &str = "admin.listen";

/// Accepts and serves until it is told to close; what has begun is completed then.
pub(super) async fn serve(acceptor: Acceptor, slots: Arc<Slots>, ends: Ends, router: Router) {
    let mut failed = FailedAccepts::default();
    while let Some(accepted) = ends.accepting.run_until_cancelled(accept(&acceptor)).await {
        match accepted {
            Ok((stream, peer)) => {
                failed.end(NAME);
                let slot = slots.enter().await;
                let serving = serve_one(stream, peer, slot, ends.closing.clone(), router.clone());
                tokio::spawn(serving);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                failed.note(NAME, &error);
                // Its file is of use to the next, if that is what is missing.
                let rest = if slots.make_way() { GOING } else { REST };
                ends.accepting.run_until_cancelled(sleep(rest)).await;
            }
        }
    }
}

async fn serve_one(
    stream: Stream,
    peer: Peer,
    slot: Slot,
    closing: CancellationToken,
    router: Router,
) {
    let service = TowerToHyperService::new(router);
    let (told, client) = (closing.clone(), Arc::clone(&slot.client));
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // What has no end of its own ends with it.
        request.extensions_mut().insert(told.clone());
        request.extensions_mut().insert(Arc::clone(&client));
        let (answer, client) = (service.call(request), Arc::clone(&client));
        async move { answer.await.map(|answer| watched(answer, client)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let client = &slot.client;
    let is_to_close = async {
        closing.cancelled().await;
        // It may have come a moment ago, and would get no answer.
        client.asks(FIRST).await;
    };
    let served = async {
        tokio::select! {
            served = connection.as_mut() => served,
            () = is_to_close => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        () = client.leaves() => log::debug!("admin: {peer}: gives way to another"),
        served = served => if let Err(error) = served {
            log::debug!("admin: {peer}: {error}");
        }
    }
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
