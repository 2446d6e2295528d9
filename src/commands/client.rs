//! One request to the admin address of a running process, and its answer.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::list;
use crate::cli::Reached;
use crate::config;
use crate::config::file::AdminAddress;

/// How long an answer may take. A reload is what takes longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process is heard, and what it wants to be told.
pub(super) struct Client {
    address: Address,
    token: Option<String>,
}

enum Address {
    /// A name or an address, and a port.
    Tcp(String),
    Unix(PathBuf),
}

impl Client {
    /// The client for the process that the options name, or else the configuration.
    pub(super) fn find(reached: &Reached, conf: &Path) -> Result<Self, String> {
        let token = reached.token_file.as_deref().map(token).transpose()?;
        if let Some(admin) = &reached.admin {
            let address = Address::parse(admin)?;
            return Ok(Client { address, token });
        }
        let admin = config::load_admin(conf).map_err(|problems| problems.to_string())?;
        let address = match admin.listen {
            AdminAddress::Tcp(address) => Address::Tcp(reachable(address).to_string()),
            AdminAddress::Unix(path) => Address::Unix(path),
        };
        let token = token.or_else(|| admin.token.map(|token| token.0.into()));
        Ok(Client { address, token })
    }

    /// Makes a request and waits for the answer. Errors: nobody is there, or what was asked is refused.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("culvert: {error}"))?;
        let (status, answer) = runtime.block_on(async {
            let answer = timeout(PATIENCE, self.exchange(method, path, body)).await;
            answer.unwrap_or_else(|_| Err(format!("{self}: no answer within {PATIENCE:?}")))
        })?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|_| format!("{self}: {status}, and no JSON: this is not Culvert"))?;
        match status.is_success() {
            true => Ok(answer),
            false => Err(self.refusal(status, &answer)),
        }
    }

    fn refusal(&self, status: StatusCode, answer: &Value) -> String {
        let problems = list(answer, "/problems").iter().filter_map(Value::as_str);
        let why = answer["error"].as_str().unwrap_or_default();
        let hint = match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => "; set --token-file",
            _ => "",
        };
        let last = format!("{self}: {}: {why}{hint}", status.as_u16());
        let lines: Vec<&str> = problems.chain([last.as_str()]).collect();
        lines.join("\n")
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = self
            .request(method, path, body)
            .map_err(|error| error.to_string())?;
        let missing = |error| format!("{self}: no running process: {error}");
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(missing)?;
                self.send(stream, request).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(missing)?;
                self.send(stream, request).await
            }
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> http::Result<Request<Full<Bytes>>> {
        let host = match &self.address {
            Address::Tcp(address) => address,
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        request.body(Full::new(body.into()))
    }

    fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<(StatusCode, Bytes), String>> {
        let exchange = async move {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // What goes wrong with it is an error of the request as well.
            tokio::spawn(async move { connection.await.ok() });
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?;
            Ok::<_, hyper::Error>((status, body.to_bytes()))
        };
        async move { exchange.await.map_err(|error| format!("{self}: {error}")) }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp(address) => write!(f, "http://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let wrong = || format!("--admin: must be http://HOST:PORT or unix:PATH, not {text:?}");
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        Ok(Address::Tcp(match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        }))
    }
}

/// Nobody can connect to every address: loopback is one of them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(_) if listen.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) if listen.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        _ => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

fn token(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("--token-file: {}: {error}", path.display()))?;
    Ok(text.trim_ascii().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_a_url_or_a_path() {
        for (text, expected) in [
            ("http://127.0.0.1:9900", Some("http://127.0.0.1:9900")),
            ("http://[::1]:9900/", Some("http://[::1]:9900")),
            ("http://edge", Some("http://edge:80")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("https://127.0.0.1:9900", None),
            ("127.0.0.1:9900", None),
            ("http://a b", None),
            ("http://a/b", None),
        ] {
            let client = Address::parse(text).map(|address| Client {
                address,
                token: None,
            });
            let found = client.ok().map(|client| client.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
