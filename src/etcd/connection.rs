//! A connection to one endpoint, in TLS where it is `https`, and requests on it, one after the
//! other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::error::{Cause, Error, chain};
use super::settings::{Endpoint, Settings};
use crate::os::{keepalive, reserve};

/// How long a connection may have been idle that is used again.
const FRESH: Duration = Duration::from_secs(30);

/// How long it may take until one that was used is idle.
const READY: Duration = Duration::from_secs(1);

/// How long a connection is silent until the system probes it.
const PROBED: Duration = Duration::from_secs(10);

/// What connecting opens: a socket, and one to whoever resolves the name.
const FILES: usize = 2;

/// A connection on which nothing is under way.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
}

/// What `https` endpoints are met with. Errors say what rustls does not take.
pub(super) fn connector(settings: &Settings) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(Arc::clone(&settings.roots));
    // Without ALPN: etcd offers only HTTP/2 there, and takes HTTP/1.1 from whoever offers nothing.
    let config = match &settings.certificate {
        Some(key) => {
            let shown = SingleCertAndKey::from(Arc::clone(key));
            config.with_client_cert_resolver(Arc::new(shown))
        }
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Connection {
    /// Connects.
    pub(super) async fn open(
        endpoint: &Endpoint,
        tls: &TlsConnector,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let times = &settings.times;
        let opened = timeout(times.connect, async {
            let _lent = reserve::lend(FILES);
            let socket = TcpStream::connect((&*endpoint.host, endpoint.port)).await?;
            socket.set_nodelay(true)?;
            keepalive::probe_when_silent(&socket, PROBED)?;
            match &endpoint.server_name {
                Some(name) => shake_hands(tls.connect(name.clone(), socket).await?).await,
                None => shake_hands(socket).await,
            }
        });
        let cause = match opened.await {
            Ok(Ok(sender)) => {
                let used = Instant::now();
                return Ok(Connection { sender, used });
            }
            Ok(Err(error)) => Cause::Unreachable(chain(&error)),
            Err(_) => Cause::TimedOut("connection", times.connect),
        };
        Err(Error::not_done(endpoint, cause))
    }

    /// Whether it can be used again.
    pub(super) async fn is_good(&mut self) -> bool {
        let ready = timeout(READY, self.sender.ready());
        self.used.elapsed() < FRESH && matches!(ready.await, Ok(Ok(())))
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn ask(
        &mut self,
        endpoint: &Endpoint,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        self.used = Instant::now();
        let failed = match self.sender.try_send_request(request).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let is_sent = failed.message().is_none();
        let error = failed.into_error();
        let why = chain(&error);
        // With TLS 1.3 a certificate is refused after the first request has been sent.
        match is_sent && !is_alert(&error) {
            true => Err(Error::unknown(endpoint, Cause::Broken(why))),
            false => Err(Error::not_done(endpoint, Cause::Unreachable(why))),
        }
    }
}

async fn shake_hands<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(io::Error::other)?;
    // What goes wrong with it is an error of the request as well.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

/// Whether the peer has refused the handshake.
fn is_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let error = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(error, Some(rustls::Error::AlertReceived(_)))
    })
}
