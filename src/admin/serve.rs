//! The connections of the admin address: few, and none of them for long without a request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::socket::{Listening, Peer, Stream, accept};

/// How many connections may be open. One more waits.
pub(super) const MOST_CONNECTIONS: usize = 64;
/// How long a request's head may take, and a connection be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How large a head may be.
const LARGEST_HEAD: usize = 16 << 10;
/// How long to rest when the process has run out of something.
const REST: Duration = Duration::from_millis(100);

/// Accepts and serves until it is told to close; what has begun is completed then.
pub(super) async fn serve(
    socket: Listening,
    room: Arc<Semaphore>,
    closing: CancellationToken,
    router: Router,
) {
    let next = async || {
        // The room is never closed.
        let place = Arc::clone(&room).acquire_owned().await.ok();
        (place, accept(&socket).await)
    };
    while let Some((place, accepted)) = closing.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, peer)) => {
                let serving = serve_one(stream, peer, closing.clone(), router.clone());
                tokio::spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::error!("the admin address cannot accept: {error}");
                sleep(REST).await;
            }
        }
    }
}

async fn serve_one(stream: Stream, peer: Peer, closing: CancellationToken, router: Router) {
    let service = TowerToHyperService::new(router);
    let told = closing.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // What has no end of its own ends with it.
        request.extensions_mut().insert(told.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        log::debug!("admin: {peer}: {error}");
    }
}
