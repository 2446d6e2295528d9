//! Clients that come one after the other, each with a connection of its own, for as long as
//! something is tried on a Culvert.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::header;
use super::soon;

/// How many clients come at the same time, and how often each comes back.
const CLIENTS: usize = 4;
const PACE: Duration = Duration::from_millis(3);
const REQUEST: &str = "GET /load HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Clients that ask for `/load`. Dropping it stops them where they are.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<()>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// Begins.
    pub fn on(address: SocketAddr) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            answered: Arc::default(),
            clients: JoinSet::new(),
            failures: Arc::default(),
        };
        for _ in 0..CLIENTS {
            let stop = Arc::clone(&load.stop);
            let (answered, failures) = (Arc::clone(&load.answered), Arc::clone(&load.failures));
            load.clients.spawn(async move {
                let mut pace = interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(SeqCst) {
                    pace.tick().await;
                    match ask(address).await {
                        Ok(answer) if is_whole(&answer) => _ = answered.fetch_add(1, SeqCst),
                        failure => failures.lock().unwrap().push(format!("{failure:?}")),
                    }
                }
            });
        }
        load
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Has the clients finish; fails if a request was not answered with 200. Returns how many there
    /// were, which are some.
    pub async fn stop(self) -> usize {
        self.stop.store(true, SeqCst);
        soon("the last answers", self.clients.join_all()).await;
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{failures:#?}");
        let answered = self.answered.load(SeqCst);
        assert!(answered >= CLIENTS);
        answered
    }
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn is_whole(answer: &str) -> bool {
    answer.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = header(head, "content-length");
        head.starts_with("HTTP/1.1 200 ") && length == Some(body.len().to_string().as_str())
    })
}
