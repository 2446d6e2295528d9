//! Clients that send a byte now and then: a third of them a request's head, a third the first
//! message of a TLS handshake, a third a request's body. What they send is never whole, and so they
//! are never answered.
//!
//! One thread gives each its turn.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use crate::protocol::{HANDSHAKE, UPLOAD};
use crate::proxies::Proxy;
use crate::tls;

/// How many there are.
pub(crate) const SENDERS: usize = 200;
/// From one's turn to the next's: each sends ten bytes a second.
const TURN: Duration = Duration::from_micros(500);

/// All of them, while they send.
pub(crate) struct Senders {
    should_stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

struct Sender {
    stream: TcpStream,
    /// The last byte is never sent.
    bytes: Vec<u8>,
    sent: usize,
}

/// Has all of them connect to the proxy and begin.
pub(crate) fn start(proxy: &Proxy) -> io::Result<Senders> {
    let mut senders: Vec<Sender> = (0..SENDERS)
        .map(|number| Sender::start(proxy, number))
        .collect::<io::Result<_>>()?;
    let should_stop = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&should_stop);
    let send = move || {
        while !stops.load(Relaxed) {
            for sender in &mut senders {
                sender.send()?;
                sleep(TURN);
            }
        }
        senders.iter().try_for_each(Sender::check)
    };
    Ok(Senders {
        should_stop,
        thread: thread::Builder::new().name("slow".to_owned()).spawn(send)?,
    })
}

impl Senders {
    /// Ends them. Errors: one of them was not slow all the time, because the proxy answered it or
    /// closed the connection.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.should_stop.store(true, Relaxed);
        let sent = self.thread.join();
        sent.unwrap_or_else(|_| Err(io::Error::other("the slow senders' thread panicked")))
    }
}

impl Sender {
    fn start(proxy: &Proxy, number: usize) -> io::Result<Sender> {
        let mut hello = Vec::new();
        let (address, at_once, bytes) = match (number % 3, &proxy.encrypted.tls) {
            (0, Some(config)) => {
                tls::session(config)?.write_tls(&mut hello)?;
                (&proxy.encrypted, &[][..], hello)
            }
            (1, _) => (&proxy.plain, UPLOAD, vec![b'a'; 1000]),
            _ => (&proxy.plain, &[][..], HANDSHAKE.to_vec()),
        };
        let mut stream = TcpStream::connect(address.at)?;
        stream.set_nodelay(true)?;
        stream.write_all(at_once)?;
        stream.set_nonblocking(true)?;
        Ok(Sender {
            stream,
            bytes,
            sent: 0,
        })
    }

    fn send(&mut self) -> io::Result<()> {
        if self.sent + 1 < self.bytes.len() {
            self.stream.write_all(&self.bytes[self.sent..][..1])?;
            self.sent += 1;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.stream.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            heard => Err(io::Error::other(format!(
                "a slow sender heard something: {heard:?}"
            ))),
        }
    }
}
