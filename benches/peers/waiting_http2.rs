//! What streams of HTTP/2 cost whose client takes no answer, or whose target takes no body.
//!
//! The client is h2's, with the windows that HTTP/2 begins with: it takes 65,535 bytes of all
//! answers on a connection, and no more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest, handshake};
use http::Request;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Bytes;

use crate::figure::{Figure, memory_of};
use crate::protocol::LONG;
use crate::proxies::Proxy;
use crate::stream::Address;
use crate::target;
use crate::tls;
use crate::waiting::{connect, figure};

/// How many connections there are, after a first, and how many streams on each.
const CONNECTIONS: usize = 5;
const STREAMS: usize = 100;
const URI: &str = "https://chat.example.com/long";
const PATIENCE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(20);
/// Until everything is where it stays.
const SETTLES: Duration = Duration::from_secs(1);

/// A stream that waits.
struct Stream {
    answer: ResponseFuture,
    is_answered: bool,
    /// Dropped, it would end its request.
    _body: SendStream<Bytes>,
}

/// Clients and their streams.
struct Clients {
    runtime: Runtime,
    address: Address,
    drivers: Vec<JoinHandle<Result<(), h2::Error>>>,
    requests: Vec<SendRequest<Bytes>>,
    streams: Vec<Stream>,
    body: Bytes,
}

/// Answers that nobody takes.
pub(crate) fn untaken_answers(proxy: &Proxy, scale: usize) -> io::Result<(Vec<Figure>, usize)> {
    let mut clients = Clients::new(proxy)?;
    let name = "stream of HTTP/2 whose client takes no answer of 1 MiB";
    measure(proxy, &mut clients, scale, name, Clients::ask)
}

/// Bodies that nobody takes.
pub(crate) fn untaken_bodies(proxy: &Proxy, scale: usize) -> io::Result<(Vec<Figure>, usize)> {
    let mut clients = Clients::new(proxy)?;
    let name = "stream of HTTP/2 whose target takes no body of 1 MiB";
    measure(proxy, &mut clients, scale, name, Clients::send)
}

fn measure(
    proxy: &Proxy,
    clients: &mut Clients,
    scale: usize,
    name: &str,
    begin: fn(&mut Clients) -> io::Result<()>,
) -> io::Result<(Vec<Figure>, usize)> {
    let count = CONNECTIONS.div_ceil(scale);
    clients.begin_all(begin)?;
    let before = memory_of(proxy)?;
    for _ in 0..count {
        clients.begin_all(begin)?;
    }
    let memory = memory_of(proxy)? - before;
    clients.check()?;
    let figure = figure(name, memory / (count * STREAMS) as f64, Some(64.0));
    Ok((vec![figure], 0))
}

impl Clients {
    fn new(proxy: &Proxy) -> io::Result<Self> {
        let tls = proxy.encrypted.tls.as_ref().map(|config| {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        });
        Ok(Clients {
            runtime: Builder::new_current_thread().enable_all().build()?,
            address: Address {
                at: proxy.encrypted.at,
                tls,
            },
            drivers: Vec::new(),
            requests: Vec::new(),
            streams: Vec::new(),
            body: Bytes::from(vec![b'a'; LONG]),
        })
    }

    /// Another connection.
    fn open(&mut self) -> io::Result<()> {
        let socket = connect(self.address.at)?;
        let Some(config) = self.address.tls.clone() else {
            return Err(io::Error::other("HTTP/2 is spoken in TLS here"));
        };
        let (requests, connection) = self.runtime.block_on(async {
            let socket = TcpStream::from_std(socket)?;
            let connecting = TlsConnector::from(config).connect(tls::host()?, socket);
            let stream = connecting.await?;
            handshake(stream).await.map_err(io::Error::other)
        })?;
        self.drivers.push(self.runtime.spawn(connection));
        self.requests.push(requests);
        Ok(())
    }

    /// Another connection, with its streams; until the target has heard of all of them.
    fn begin_all(&mut self, begin: fn(&mut Clients) -> io::Result<()>) -> io::Result<()> {
        let before = target::long_exchanges();
        self.open()?;
        for _ in 0..STREAMS {
            begin(self)?;
        }
        let all_have_come = async {
            while target::long_exchanges() < before + STREAMS {
                sleep(TURN).await;
            }
        };
        let come = async { timeout(PATIENCE, all_have_come).await };
        self.runtime.block_on(come).map_err(|_| {
            let heard = target::long_exchanges() - before;
            io::Error::other(format!("the target has heard of {heard} of {STREAMS}"))
        })?;
        self.settle();
        Ok(())
    }

    /// Has the newest connection ask for a long answer.
    fn ask(&mut self) -> io::Result<()> {
        let request = Request::get(URI).body(()).map_err(io::Error::other)?;
        let (answer, body) = self.begin(request, true)?;
        self.streams.push(Stream {
            answer,
            is_answered: true,
            _body: body,
        });
        Ok(())
    }

    /// Has the newest connection send a long body.
    fn send(&mut self) -> io::Result<()> {
        let request = Request::post(URI).header("content-length", LONG);
        let request = request.body(()).map_err(io::Error::other)?;
        let (answer, mut body) = self.begin(request, false)?;
        let sent = body.send_data(self.body.clone(), true);
        sent.map_err(io::Error::other)?;
        self.streams.push(Stream {
            answer,
            is_answered: false,
            _body: body,
        });
        Ok(())
    }

    fn begin(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> io::Result<(ResponseFuture, SendStream<Bytes>)> {
        let Some(requests) = self.requests.last().cloned() else {
            return Err(io::Error::other("no connection is open"));
        };
        let begun = self.runtime.block_on(async {
            let mut requests = requests.ready().await?;
            requests.send_request(request, is_whole)
        });
        begun.map_err(io::Error::other)
    }

    fn settle(&self) {
        self.runtime.block_on(async { sleep(SETTLES).await });
    }

    /// Errors: one of them does not wait any more.
    fn check(&mut self) -> io::Result<()> {
        self.settle();
        let _within = self.runtime.enter();
        let waits = |stream: &mut Stream| match (&mut stream.answer).now_or_never() {
            None => true,
            Some(Ok(answer)) => stream.is_answered && answer.status().is_success(),
            Some(Err(_)) => false,
        };
        let are_open = self.drivers.iter().all(|driver| !driver.is_finished());
        if self.streams.iter_mut().all(waits) && are_open {
            return Ok(());
        }
        Err(io::Error::other(
            "a stream or a connection of HTTP/2 does not wait any more",
        ))
    }
}
