//! How a directory is asked: over TLS, one connection for each request, within bounds.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::model::Acme;
use crate::os::reserve;

/// How long one request may take, with its connection.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 1 << 20;
/// What connecting opens: a socket, and one to whoever resolves the name.
const FILES: usize = 2;

type Failure = Box<dyn StdError + Send + Sync>;

/// Asks a directory.
pub(super) struct Client {
    tls: TlsConnector,
    heard: Arc<Heard>,
}

/// What a directory has said besides.
#[derive(Default)]
pub(super) struct Heard {
    /// After how many seconds it wants to be asked again, as it said last.
    retry_after: AtomicU64,
}

impl Heard {
    /// How long it wants to be left alone, as it said with its last answer.
    pub(super) fn retry_after(&self) -> Duration {
        Duration::from_secs(self.retry_after.load(Relaxed))
    }
}

impl Client {
    /// A client that trusts whom the configuration says.
    pub(super) fn new(acme: &Acme, heard: Arc<Heard>) -> Result<Self, String> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(Arc::clone(&acme.roots))
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Client { tls, heard })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (tls, heard) = (self.tls.clone(), Arc::clone(&self.heard));
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let failed = |why: String| Error::Other(format!("{host}: {why}").into());
            match timeout(PATIENCE, ask(tls, request)).await {
                Ok(Ok(answer)) => {
                    let asked = answer.headers().get(RETRY_AFTER);
                    let seconds = asked.and_then(seconds).unwrap_or(0);
                    heard.retry_after.store(seconds, Relaxed);
                    Ok(BytesResponse::from(answer))
                }
                Ok(Err(error)) => Err(failed(chain(&*error))),
                Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
            }
        })
    }
}

fn seconds(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

async fn ask(
    tls: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Failure> {
    let uri = request.uri();
    if uri.scheme_str() != Some("https") {
        return Err(format!("not an https URL: {uri}").into());
    }
    let authority = uri.authority().ok_or("a URL without a host")?.clone();
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let stream = {
        let _lent = reserve::lend(FILES);
        let port = authority.port_u16().unwrap_or(443);
        let socket = TcpStream::connect((&*host, port)).await?;
        socket.set_nodelay(true)?;
        tls.connect(ServerName::try_from(host)?, socket).await?
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it is an error of the request as well.
    tokio::spawn(async move { connection.await.ok() });
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body)))
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        next = cause.source();
        let text = cause.to_string();
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ").replace(['\n', '\r'], " ")
}
