//! Requests to an API server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long an answer may take: the server may be one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// How bodies of requests are to be read.
pub const JSON: &str = "application/json";
/// A patch that says what is to be merged.
pub const MERGE: &str = "application/merge-patch+json";
/// A patch that says what is to be there.
pub const APPLY: &str = "application/apply-patch+yaml";

/// Why there is no answer.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Somebody who asks an API server.
pub struct Client {
    address: SocketAddr,
    token: &'static str,
    connector: TlsConnector,
}

impl Client {
    /// One who has this token and trusts this authority.
    pub fn new(address: SocketAddr, token: &'static str, authority: CertificateDer<'_>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(authority.into_owned()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client {
            address,
            token,
            connector: TlsConnector::from(Arc::new(config)),
        }
    }

    /// The status of an answer, and the answer: a text where it is no JSON.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Result<(u16, Value), Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "kubernetes")
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", kind)
            .body(Full::new(body.into()))?;
        timeout(PATIENCE, self.exchange(request)).await?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Value), Error> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TokioIo::new(self.connector.connect(name, socket).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        Ok((
            status,
            serde_json::from_slice(&body).unwrap_or_else(|_| text()),
        ))
    }
}
