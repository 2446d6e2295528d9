//! `server`: what concerns the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;

use super::{Memory, Resolver};
use crate::config::secret_key::SecretKey;

/// `server`
#[derive(Debug, Clone)]
pub struct Server {
    /// `name`: what this node is called, to operators; 1 to 64 visible characters. Default: the
    /// host's name.
    pub name: Arc<str>,
    /// `threads`: worker threads, 1 to 1024. Default: one per core.
    pub threads: usize,
    /// `logLevel`: how much is said on standard error. Default: as `RUST_LOG` says, or `info`.
    pub log_level: Option<LevelFilter>,
    /// `drain`
    pub drain: Drain,
    /// `upgrade`
    pub upgrade: Upgrade,
    /// `upgradeSocket`: the Unix socket over which a new process takes over from this one. Default:
    /// none.
    pub upgrade_socket: Option<PathBuf>,
    /// `pidFile`: where the process writes its id. Default: nowhere.
    pub pid_file: Option<PathBuf>,
    /// `sessionTicketKeyFile`: the keys of session tickets, with their file. Default: keys of the
    /// process's own.
    pub session_ticket_keys: Option<SessionTicketKeys>,
    /// `stickinessKeyFile`: what is in it, 1 to 8: the first makes sticky cookies, all of them know
    /// them. Default: none; the process has a key of its own.
    pub stickiness_keys: Vec<SecretKey>,
    /// `maxConnections`: how many connections of clients may be open at a time. Default: what the
    /// limit of open files allows.
    pub max_connections: Option<usize>,
    /// `memory`
    pub memory: Memory,
    /// `tunnelRecords`: what speaks TLS in tunnels. Default: own.
    pub tunnel_records: TunnelRecords,
    /// `resolver`
    pub resolver: Resolver,
}

/// `server.tunnelRecords`: what speaks TLS in tunnels, from the 101 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TunnelRecords {
    /// `own`: records of our own, which keep nothing while nothing is in flight.
    #[default]
    Own,
    /// `rustls`: as before the 101.
    Rustls,
}

/// `server.sessionTicketKeyFile`, with what is in it.
#[derive(Debug, Clone)]
pub struct SessionTicketKeys {
    /// The file, to be read again when it changes; `None` where they are in none.
    pub path: Option<PathBuf>,
    /// 1 to 8: the first seals, all of them open.
    pub keys: Vec<SecretKey>,
}

/// `server.drain`: how a process ends.
#[derive(Debug, Clone)]
pub struct Drain {
    /// `readyDelay`: from `/readyz` saying 503 to the close of the listeners; shorter than
    /// `deadline`. Default: 0.
    pub ready_delay: Duration,
    /// `deadline`: by when all that is open is told to end. Default: 30 s.
    pub deadline: Duration,
    /// `rate`: how many tunnels a second are ended at most, before the deadline. Default: as many
    /// as it takes.
    pub rate: Option<u32>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain {
            ready_delay: Duration::ZERO,
            deadline: Duration::from_secs(30),
            rate: None,
        }
    }
}

/// `server.upgrade`: how a process hands over to a new one.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// `drainDeadline`: how long the old process keeps its tunnels before it drains. Default: 1 h.
    pub drain_deadline: Duration,
    /// `timeout`: how long each step of the new process may take until it serves. Default: 30 s.
    pub timeout: Duration,
    /// `moveTunnels`: whether tunnels go to the new process. Default: true.
    pub move_tunnels: bool,
}

impl Default for Upgrade {
    fn default() -> Self {
        Upgrade {
            drain_deadline: Duration::from_secs(60 * 60),
            timeout: Duration::from_secs(30),
            move_tunnels: true,
        }
    }
}
