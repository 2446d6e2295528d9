//! Listening sockets: a forwarding rule's address, the loop that accepts on it, and what serves a
//! connection.
//!
//! The sockets are there before anything is started, so that an address that cannot be had is a
//! message and not half a process. The accept loops are ours because Pingora's bind on their own,
//! keep 64 KB a connection and end by its signals; the rest of a connection's life is Pingora's
//! `process_new_http`. A loop can be ended, and begun again, at any time; what was accepted goes
//! on.

mod accept_loop;
mod adopted;
mod arrival;
mod connection;
pub mod control;
mod failed_accepts;
mod http1;
mod http2;
mod http2_session;
mod load_shedding;
mod permits;
mod plain_http;
mod proxy_protocol;
mod runtime;
mod serve;
mod sockets;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::drain::Drain;
use crate::forwarding_rule::{ForwardingRule, Limit};
use crate::os::keepalive::probe_when_silent;
use crate::os::reserve;
use crate::os::{kept_sockets, systemd};
use crate::overload::{Overload, Resets};
use crate::telemetry::access_log::AccessLog;
pub use accept_loop::{AcceptLoop, Ends};
pub use arrival::Arrival;
pub use connection::{CONNECTION, Connection};
pub use failed_accepts::{FailedAccepts, REST, is_passing};
use load_shedding::LoadShedding;
use permits::{ListenerLimit, ProcessLimit};
use proxy_protocol::canonical;
pub use sockets::{Sockets, bind_unix};

/// What serves a connection that was accepted: it starts a task.
pub type Serve = Box<dyn Fn(TcpStream, Arrival) + Send + Sync>;

/// All listening sockets, with the rules for what arrives there.
pub struct Listeners {
    drain: Arc<Drain>,
    log: AccessLog,
    runtime: Handle,
    process_limit: Arc<ProcessLimit>,
    load_shedding: Arc<LoadShedding>,
    serve: OnceLock<Serve>,
    held: AtomicBool,
    closed: AtomicBool,
    open: Mutex<BTreeMap<SocketAddr, Listener>>,
}

/// A bound socket and the rule for what arrives there.
struct Listener {
    socket: std::net::TcpListener,
    rule: Arc<ArcSwap<ForwardingRule>>,
    listener_limit: Arc<ListenerLimit>,
    accept_loop: AcceptLoop,
}

impl Listener {
    /// Sets what the sockets of all clients need. On Linux they have it from the listening one,
    /// which saves the system calls.
    fn preset(&self) {
        let rule = self.rule.load();
        let socket = SockRef::from(&self.socket);
        let set = socket
            .set_tcp_nodelay(true)
            .and_then(|()| probe_when_silent(&self.socket, rule.keepalive));
        if let Err(error) = set {
            log::error!("{}: options of the socket: {error}", rule.listen);
        }
    }
}

/// What to listen on: all forwarding rules, with the sockets of those addresses that are new.
pub type Plan = Vec<(Arc<ForwardingRule>, Option<std::net::TcpListener>)>;

impl Listeners {
    /// Listens on no address yet. `threads` will serve connections.
    pub fn new(
        drain: Arc<Drain>,
        log: AccessLog,
        threads: usize,
        overload: Arc<Overload>,
    ) -> io::Result<Self> {
        Ok(Listeners {
            drain,
            log,
            runtime: runtime::start(threads)?,
            process_limit: Arc::new(ProcessLimit::new()),
            load_shedding: Arc::new(LoadShedding::new(overload)),
            serve: OnceLock::new(),
            held: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            open: Mutex::default(),
        })
    }

    /// Begins to accept, and to turn the clocks of the tunnels.
    pub fn start(self: &Arc<Self>, serve: Serve) {
        if self.serve.set(serve).is_err() {
            return;
        }
        let wheel = Arc::clone(&self.drain.tunnels.timer_wheel);
        self.runtime.spawn(async move { wheel.run().await });
        self.runtime.spawn(systemd::keep_alive());
        if !self.held.load(SeqCst) {
            self.resume();
        }
    }

    /// Accepts nothing at the start, but when it is told to resume.
    pub fn hold(&self) {
        self.held.store(true, SeqCst);
    }

    /// Whether everything is there for accepting.
    pub fn is_started(&self) -> bool {
        self.serve.get().is_some()
    }

    /// How many places for connections are taken, and how many there are.
    pub fn places(&self) -> (usize, usize) {
        self.process_limit.places()
    }

    /// From now on so many connections may be open in the process, and so many stand to be refused.
    /// Those that are open stay.
    pub fn limit(&self, most: usize, standing: usize) {
        self.process_limit.limit(most, standing);
    }

    /// Resets connections and streams that are no tunnels. How many there were.
    pub fn reset(&self, resets: Resets) -> usize {
        self.load_shedding.reset(resets)
    }

    /// Whether there is a listener on this address.
    pub fn has(&self, address: &SocketAddr) -> bool {
        self.open.lock().contains_key(address)
    }

    /// The rule for what arrives at this address.
    pub fn rule(&self, address: &SocketAddr) -> Option<Arc<ForwardingRule>> {
        let open = self.open.lock();
        open.get(address).map(|listener| listener.rule.load_full())
    }

    /// Listens on what the plan says and on nothing else. What goes on listening just gets its new
    /// rule. Once the sockets were given up that stays so.
    pub fn change(self: &Arc<Self>, plan: Plan) {
        let mut open = self.open.lock();
        if self.is_closed() {
            return;
        }
        open.retain(|address, listener| {
            let stays = plan.iter().any(|(rule, _)| rule.listen == *address);
            if !stays {
                listener.accept_loop.close();
                log::info!("{address}: not listened on any more");
            }
            stays
        });
        for (rule, socket) in plan {
            let address = rule.listen;
            match (open.get(&address), socket) {
                (Some(listener), _) => {
                    listener.rule.store(rule);
                    listener.preset();
                }
                (None, Some(socket)) => {
                    let mut listener = Listener {
                        socket,
                        rule: Arc::new(ArcSwap::new(rule)),
                        listener_limit: Arc::default(),
                        accept_loop: AcceptLoop::new(self.drain.began().child_token()),
                    };
                    self.accept(&mut listener);
                    open.insert(address, listener);
                }
                (None, None) => log::error!("{address}: has no socket"),
            }
        }
        self.keep(&open);
    }

    /// Has the service manager keep the sockets, once they are accepted on.
    fn keep(&self, open: &BTreeMap<SocketAddr, Listener>) {
        if self.serve.get().is_some() && !self.held.load(SeqCst) {
            let sockets = open.iter().map(|(address, one)| (*address, &one.socket));
            kept_sockets::keep_only(&sockets.collect());
        }
    }

    /// Gives away a copy of each socket, for another process: one at a time, so that few files are
    /// needed.
    pub fn give_sockets(
        &self,
        give: impl Fn(SocketAddr, std::net::TcpListener) -> io::Result<()>,
    ) -> io::Result<()> {
        let addresses: Vec<SocketAddr> = self.open.lock().keys().copied().collect();
        for address in addresses {
            let copy = || {
                let open = self.open.lock();
                let socket = open.get(&address).map(|listener| &listener.socket);
                socket.map(|socket| socket.try_clone()).transpose()
            };
            if let Some(socket) = reserve::with(1, copy)? {
                give(address, socket)?;
            }
        }
        Ok(())
    }

    /// The forwarding rules that are in force, in the order of their addresses.
    pub fn rules(&self) -> Vec<Arc<ForwardingRule>> {
        let open = self.open.lock();
        let rules = open.values().map(|listener| listener.rule.load_full());
        rules.collect()
    }

    /// Stops accepting. The sockets stay: whoever shares them accepts.
    pub fn pause(&self) {
        for listener in self.open.lock().values_mut() {
            listener.accept_loop.pause();
        }
    }

    /// Accepts, or accepts again; what accepts already goes on.
    pub fn resume(self: &Arc<Self>) {
        self.held.store(false, SeqCst);
        let mut open = self.open.lock();
        for listener in open.values_mut() {
            self.accept(listener);
        }
        self.keep(&open);
        drop(open);
        self.drain.listening();
    }

    /// Stops accepting, and gives the sockets up.
    pub fn close(&self) {
        let mut open = self.open.lock();
        self.closed.store(true, SeqCst);
        for mut listener in std::mem::take(&mut *open).into_values() {
            listener.accept_loop.close();
        }
        // The next to come are refused, and do not wait for a process that may never be.
        kept_sockets::drop_all();
    }

    /// Whether the sockets were given up. Where no rule is there is none to give up, and yet there
    /// may be one later.
    pub fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Begins a loop, once there is something that serves.
    fn accept(self: &Arc<Self>, listener: &mut Listener) {
        if self.serve.get().is_none() {
            return;
        }
        let Some(ends) = listener.accept_loop.begin() else {
            return;
        };
        listener.preset();
        let entrance = Entrance {
            rule: Arc::clone(&listener.rule),
            listener_limit: Arc::clone(&listener.listener_limit),
            ends,
            listeners: Arc::clone(self),
        };
        match reserve::with(1, || listener.socket.try_clone()) {
            // The end of the process waits for what it has yet to accept.
            Ok(socket) => {
                let accepting = entrance.accept(socket);
                self.drain.connections.spawn_on(accepting, &self.runtime);
            }
            Err(error) => {
                listener.accept_loop.pause();
                log::error!("{}: cannot be accepted on: {error}", entrance.address());
            }
        }
    }
}

/// Where connections come in: one loop.
struct Entrance {
    rule: Arc<ArcSwap<ForwardingRule>>,
    listener_limit: Arc<ListenerLimit>,
    ends: Ends,
    listeners: Arc<Listeners>,
}

impl Entrance {
    async fn accept(self, socket: std::net::TcpListener) {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return log::error!("{}: cannot be accepted on: {error}", self.address()),
        };
        let mut failed = FailedAccepts::default();
        // What is kept back for the operator comes first.
        let next = async || {
            reserve::check()?;
            socket.accept().await
        };
        while let Some(accepted) = self.ends.accepting.run_until_cancelled(next()).await {
            match accepted {
                Ok((stream, client)) => {
                    failed.end(self.address());
                    self.serve(stream, client);
                }
                // A client that is gone again is nothing to speak of.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    failed.note(self.address(), &error);
                    let rest = tokio::time::sleep(REST);
                    self.ends.accepting.run_until_cancelled(rest).await;
                }
            }
        }
        // Those that the system has accepted already would be reset. The runtime may not know of
        // them yet: it is not asked.
        if let Ok(socket) = socket.into_std() {
            self.empty(&socket);
        }
    }

    fn empty(&self, socket: &std::net::TcpListener) {
        loop {
            match socket.accept() {
                Ok((stream, client)) => {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        self.serve(stream, client);
                    }
                }
                Err(error) if is_passing(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(serve) = self.listeners.serve.get() else {
            return;
        };
        let (listeners, rule) = (&self.listeners, self.rule.load());
        let place = match listeners.load_shedding.refuses() {
            true => listeners.process_limit.stand(Limit::Memory),
            false => listeners
                .process_limit
                .admit(&self.listener_limit, rule.max_connections),
        };
        let place = match place {
            Ok(place) => place,
            Err(limit) => return rule.metrics.refuse(limit.reason(), peer.into()),
        };
        let arrival = Arrival {
            peer: canonical(peer),
            rule: Arc::clone(&self.rule),
            place,
            process_limit: Arc::clone(&listeners.process_limit),
            listener_limit: Arc::clone(&self.listener_limit),
            load_shedding: Arc::clone(&listeners.load_shedding),
            closing: self.ends.closing.clone(),
            drain: Arc::clone(&listeners.drain),
            log: listeners.log.clone(),
            client: listeners.drain.client(),
            open: rule.metrics.connection(),
        };
        serve(stream, arrival);
    }

    fn address(&self) -> SocketAddr {
        self.rule.load().listen
    }
}
