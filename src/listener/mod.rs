//! Listening sockets: a forwarding rule's address, the loop that accepts on it, and what serves a connection.
//!
//! The sockets are bound before anything is started, so that an address that cannot be had is a message and not half a
//! process. The accept loops are ours because Pingora's bind on their own, keep 64 KB a connection and end by its signals;
//! the rest of a connection's life is Pingora's `process_new_http`.

mod connection;
mod forwarding_rule;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use crate::drain::Drain;
use crate::telemetry::access_log::AccessLog;
pub use connection::{CONNECTION, Connection};
pub use forwarding_rule::{ForwardingRule, Route, TargetGroups};

const BACKLOG: i32 = 65_535;
/// How long a listener rests when the process or the machine has run out of something.
const REST: Duration = Duration::from_millis(100);

/// Binds an address and listens on it. An IPv6 address takes IPv6 only.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A bound socket and the rule for what arrives there.
pub struct Listener {
    /// The socket, listening.
    pub socket: std::net::TcpListener,
    /// Its forwarding rule.
    pub rule: Arc<ForwardingRule>,
}

/// The service that accepts on all listeners and serves what it accepts.
pub struct Listeners<A> {
    /// What handles the requests.
    pub app: Arc<A>,
    /// The sockets; taken at the start.
    pub listeners: Vec<Listener>,
    /// Tells when to stop.
    pub drain: Arc<Drain>,
    /// Where records go.
    pub log: AccessLog,
    /// How many threads serve connections.
    pub threads: usize,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> Service for Listeners<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let runtime = match runtime(self.threads) {
            Ok(runtime) => runtime,
            Err(error) => return log::error!("no threads for connections: {error}"),
        };
        let mut loops = JoinSet::new();
        for listener in std::mem::take(&mut self.listeners) {
            let accept = self.accept_loop(listener, shutdown.clone());
            loops.spawn_on(accept, runtime);
        }
        let clocks = Arc::clone(&self.drain.tunnels.clocks);
        runtime.spawn(async move { clocks.run().await });
        self.drain.listening();
        loops.join_all().await;
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn name(&self) -> &str {
        "listeners"
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Listeners<A> {
    fn accept_loop(
        &self,
        listener: Listener,
        shutdown: ShutdownWatch,
    ) -> impl Future<Output = ()> + use<A> {
        let (app, drain, log) = (
            Arc::clone(&self.app),
            Arc::clone(&self.drain),
            self.log.clone(),
        );
        async move {
            let rule = listener.rule;
            let socket = match TcpListener::from_std(listener.socket) {
                Ok(socket) => socket,
                Err(error) => {
                    return log::error!("{}: cannot be listened on: {error}", rule.listen);
                }
            };
            let began = drain.began();
            while let Some(accepted) = began.run_until_cancelled(socket.accept()).await {
                let (stream, client) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        rest_after(&error, rule.listen).await;
                        continue;
                    }
                };
                let (rule, log) = (Arc::clone(&rule), log.clone());
                let connection = Connection::new(client, rule, Arc::clone(&drain), log);
                let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
                drain
                    .connections
                    .spawn(connection.serve(stream, app, shutdown));
            }
        }
    }
}

/// The threads that serve connections, for as long as the process lives. They are ours because of one setting: a thread with
/// more than 256 tasks to run keeps the others in a queue that it looks into now and then; at the usual one time in 61 the
/// tunnels in there wait far longer than the rest.
fn runtime(threads: usize) -> io::Result<&'static Handle> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("connections")
        .global_queue_interval(2)
        .enable_all()
        .build()?;
    Ok(Box::leak(Box::new(runtime)).handle())
}

/// A client that is gone again is nothing to speak of; anything else will not have passed a moment later.
async fn rest_after(error: &io::Error, listen: SocketAddr) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    ) {
        return;
    }
    log::error!("{listen}: cannot accept: {error}");
    tokio::time::sleep(REST).await;
}
