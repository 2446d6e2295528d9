//! Listening sockets that the service manager keeps: its file descriptor store (sd_notify(3),
//! FDSTORE). A process that dies takes none of them along: clients wait in their backlogs until the
//! manager has started the next, which is given them.
//!
//! A process that ends on purpose, or that cannot start, has the manager drop them first: what
//! nobody will accept should be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::process;

use listenfd::ListenFd;
use parking_lot::Mutex;
use sd_notify::NotifyState;
use socket2::SockRef;

use super::systemd::{tell, tell_with};

/// What the names of ours begin with, in the manager's store.
const PREFIX: &str = "listener-";

/// The names of those that the manager keeps for us.
static KEPT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The sockets that the manager has kept for this process: once, at the start.
pub fn taken_out() -> Vec<(SocketAddr, TcpListener)> {
    let names = given();
    if names.is_empty() {
        return Vec::new();
    }
    let mut sockets = ListenFd::from_env();
    let taken = names.into_iter().filter_map(|(place, name)| {
        let socket = sockets.take_tcp_listener(place).ok()??;
        let listens = SockRef::from(&socket).is_listener().unwrap_or(false);
        socket.set_nonblocking(true).ok()?;
        let address = socket.local_addr().ok().filter(|_| listens)?;
        KEPT.lock().insert(name);
        Some((address, socket))
    });
    taken.collect()
}

/// The places and the names of ours among the files that the manager has given to this process, and
/// not to one that has started it.
fn given() -> Vec<(usize, String)> {
    let pid = env::var("LISTEN_PID").unwrap_or_default();
    if pid.parse() != Ok(process::id()) {
        return Vec::new();
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).enumerate();
    names.filter(|(_, name)| name.starts_with(PREFIX)).collect()
}

/// Has the manager keep these sockets, as far as it does not yet, and no others.
pub fn keep_only(sockets: &BTreeMap<SocketAddr, &TcpListener>) {
    let names: BTreeMap<String, &TcpListener> = sockets
        .iter()
        .map(|(address, socket)| (name(*address), *socket))
        .collect();
    let mut kept = KEPT.lock();
    for name in kept.iter().filter(|name| !names.contains_key(*name)) {
        tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }
    kept.retain(|name| names.contains_key(name));
    for (name, socket) in names {
        if !kept.contains(&name) {
            let news = [NotifyState::FdStore, NotifyState::FdName(&name)];
            tell_with(&news, &[socket.as_fd()]);
            kept.insert(name);
        }
    }
}

/// Has the manager drop all, also those that were not taken out.
pub fn drop_all() {
    KEPT.lock()
        .extend(given().into_iter().map(|(_, name)| name));
    keep_only(&BTreeMap::new());
}

/// The manager parts names with colons.
fn name(address: SocketAddr) -> String {
    format!("{PREFIX}{address}").replace(':', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_socket_has_no_colon_and_is_of_its_address_alone() {
        let addresses = [
            "0.0.0.0:80",
            "[::]:80",
            "[::1]:80",
            "[::1:80]:8",
            "[::1]:808",
        ];
        let names = addresses.map(|address| name(address.parse().unwrap()));
        assert_eq!(names[0], "listener-0.0.0.0-80");
        assert!(names.iter().all(|name| !name.contains(':')), "{names:?}");
        assert_eq!(BTreeSet::from(names).len(), addresses.len());
    }
}
