//! One request to the admin address of a running process, and its answer.

use std::fs;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::answer::list;
use crate::cli::Reached;
use crate::config;
use crate::config::model::ListenAddress;
use crate::os::owner;

/// How long an answer may take. A reload is what takes longest.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a stream may say nothing: its figures come each second.
const SILENCE: Duration = Duration::from_secs(5);

/// How much of a stream is kept until an event of it is whole.
const MOST_OF_AN_EVENT: usize = 64 << 20;

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
            ListenAddress::Tcp(address) => Address::Tcp(reachable(address).to_string()),
            ListenAddress::Unix(path) => Address::Unix(path),
        };
        let token = token.or_else(|| admin.token.map(|token| token.0.into()));
        Ok(Client { address, token })
    }

    /// Makes a request and waits for the answer. Errors: nobody is there, or what was asked is
    /// refused.
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
        runtime.block_on(async {
            let answer = async { self.whole(self.exchange(method, path, body).await?).await };
            let answer = timeout(PATIENCE, answer).await;
            answer.unwrap_or_else(|_| Err(format!("{self}: no answer within {PATIENCE:?}")))
        })
    }

    /// Shows each event of a stream, until there are no more or `show` breaks off. Errors: nobody
    /// is there, or nobody any more, or it is refused.
    pub(super) async fn events(
        &self,
        path: &str,
        show: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let answer = timeout(PATIENCE, self.exchange("GET", path, None)).await;
        let answer = answer.map_err(|_| format!("{self}: no answer within {PATIENCE:?}"))??;
        if !answer.status().is_success() {
            return self.whole(answer).await.map(drop);
        }
        self.each_event(answer.into_body(), show).await
    }

    async fn each_event<B>(
        &self,
        mut body: B,
        mut show: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), String>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let silent = |_| format!("{self}: no figures for {} s", SILENCE.as_secs());
        let mut stream = Vec::new();
        while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(silent)? {
            let frame = frame.map_err(|error| format!("{self}: {error}"))?;
            stream.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(event) = next_event(&mut stream) {
                if show(event).is_break() {
                    return Ok(());
                }
            }
            if stream.len() > MOST_OF_AN_EVENT {
                return Err(format!("{self}: an event without an end"));
            }
        }
        Ok(())
    }

    /// The JSON of an answer.
    async fn whole(&self, answer: Response<Incoming>) -> Result<Value, String> {
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| format!("{self}: {error}"))?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)
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
    ) -> Result<Response<Incoming>, String> {
        let request = self
            .request(method, path, body)
            .map_err(|error| error.to_string())?;
        match &self.address {
            Address::Tcp(address) => {
                let silence = |error: Error| match error.kind() {
                    ErrorKind::ConnectionRefused => {
                        format!("{self}: no running process: {error}")
                    }
                    _ => format!("{self}: cannot be reached: {error}"),
                };
                let stream = TcpStream::connect(address).await.map_err(silence)?;
                self.send(stream, request).await
            }
            Address::Unix(path) => {
                let silence = |error| format!("{self}: {}", owner::silence(path, &error));
                let stream = UnixStream::connect(path).await.map_err(silence)?;
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

    async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let failed = |error| format!("{self}: {error}");
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(failed)?;
        // What goes wrong with it is an error of the request as well.
        tokio::spawn(async move { connection.await.ok() });
        sender.send_request(request).await.map_err(failed)
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

/// Takes the next event that is whole out of a stream: the JSON in its data. Others than such are
/// passed over.
fn next_event(stream: &mut Vec<u8>) -> Option<Value> {
    loop {
        let end = memchr::memmem::find(stream, b"\n\n")?;
        let event: Vec<u8> = stream.drain(..end + 2).collect();
        let mut lines = event.split(|byte| *byte == b'\n');
        let data = lines.find_map(|line| line.strip_prefix(b"data: "));
        let data = data.and_then(|data| serde_json::from_slice(data).ok());
        if data.is_some() {
            return data;
        }
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let wrong =
            || format!("--admin: must be HOST:PORT, a http:// URL or unix:PATH, not {text:?}");
        let url = text.strip_prefix("http://");
        let authority = url.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let authority = authority.unwrap_or(text).parse();
        let authority: http::uri::Authority = authority.map_err(|_| wrong())?;
        match (authority.port_u16(), url) {
            _ if authority.as_str().contains('@') => Err(wrong()),
            (Some(_), _) => Ok(Address::Tcp(authority.to_string())),
            (None, Some(_)) => Ok(Address::Tcp(format!("{authority}:80"))),
            (None, None) => Err(wrong()),
        }
    }
}

/// Nobody can connect to every address: loopback is one of them.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
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
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_falls_silent_is_an_error_after_five_seconds() {
        let client = Client {
            address: Address::Tcp("edge:80".to_owned()),
            token: None,
        };
        let event = Frame::data(Bytes::from_static(b"data: 1\n\n"));
        let events = stream::iter([Ok::<_, Infallible>(event)]);
        let body = StreamBody::new(events.chain(stream::pending()));
        let (began, mut seen) = (Instant::now(), Vec::new());
        let show = |event| {
            seen.push(event);
            ControlFlow::Continue(())
        };
        let over = client.each_event(body, show).await;
        let why = "http://edge:80: no figures for 5 s".to_owned();
        assert_eq!((over, seen), (Err(why), vec![Value::from(1)]));
        assert_eq!(began.elapsed(), SILENCE);
    }

    #[test]
    fn events_are_taken_out_of_a_stream_once_they_are_whole() {
        let mut stream = b": hello\n\nevent: a\ndata: {\"b\":1}\n\ndata: 2\n".to_vec();
        assert_eq!(next_event(&mut stream), Some(serde_json::json!({"b": 1})));
        assert_eq!(next_event(&mut stream), None);
        stream.push(b'\n');
        assert_eq!(next_event(&mut stream), Some(2.into()));
        assert_eq!((next_event(&mut stream), stream), (None, Vec::new()));
    }

    #[test]
    fn an_admin_address_is_a_url_or_a_path() {
        for (text, expected) in [
            ("http://127.0.0.1:9900", Some("http://127.0.0.1:9900")),
            ("http://[::1]:9900/", Some("http://[::1]:9900")),
            ("http://edge", Some("http://edge:80")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("https://127.0.0.1:9900", None),
            ("127.0.0.1:9900", Some("http://127.0.0.1:9900")),
            ("[::1]:9900", Some("http://[::1]:9900")),
            ("edge:9900", Some("http://edge:9900")),
            ("edge", None),
            ("/run/a.sock", None),
            ("a@edge:9900", None),
            ("edge:99000", None),
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
