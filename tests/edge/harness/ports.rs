//! Ports to listen on, which nobody else gets meanwhile: no other test, in this process or in
//! another, and no connection.
//!
//! A port is claimed by binding its number in UDP, at an address of the loopback that nobody uses;
//! TCP stays free for whoever is to listen. The kernel gives a claim up when its process ends,
//! however that comes. The ports are below those that connections leave from.
//! tests/browser/harness/ports.js claims in the same way.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use socket2::{Domain, Socket, Type};

/// Where the claims are.
const CLAIMS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);
/// The lowest port that is handed out: those that daemons are known to listen on are mostly below.
const LOWEST: u16 = 10_000;
/// Where connections leave from if nobody has changed it, and the fewest ports that are enough.
const EPHEMERAL: u16 = 32_768;
const ENOUGH: u16 = 2000;

thread_local! {
    /// Every test has a thread of its own, and what it claims ends with it.
    static CLAIMED: RefCell<Vec<Claim>> = const { RefCell::new(Vec::new()) };
}

/// A port that is nobody else's until this is dropped.
pub struct Claim(#[expect(dead_code, reason = "holding it is what it is for")] UdpSocket);

/// Addresses of 127.0.0.1 to listen at, the caller's until its thread ends. Others of the loopback
/// may have the same ports.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    [(); COUNT].map(|()| free_address())
}

/// One such address.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static START: LazyLock<u32> = LazyLock::new(|| std::process::id().wrapping_mul(997));
    static PORTS: LazyLock<Range<u16>> = LazyLock::new(ports);
    for _ in PORTS.clone() {
        let step = START.wrapping_add(NEXT.fetch_add(1, Relaxed)) % PORTS.len() as u32;
        let port = PORTS.start + step as u16;
        if let Some(claim) = claim(port).filter(|_| nobody_listens(port)) {
            CLAIMED.with_borrow_mut(|claimed| claimed.push(claim));
            return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        }
    }
    panic!("all ports of {PORTS:?} are taken");
}

/// Claims a port, unless another test has it.
pub fn claim(port: u16) -> Option<Claim> {
    UdpSocket::bind((CLAIMS, port)).ok().map(Claim)
}

/// Whether this port is free at each address of IPv4: somebody else than a test may have it,
/// without a claim.
pub fn nobody_listens(port: u16) -> bool {
    let every = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let bind = |socket: Socket| {
        // As Culvert does: what is left of connections that are over is not in the way.
        socket.set_reuse_address(true)?;
        socket.bind(&every.into())
    };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
    socket.and_then(bind).is_ok()
}

/// The ports to choose from.
fn ports() -> Range<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let first = range.split_whitespace().next();
    let first = first
        .and_then(|port| port.parse().ok())
        .unwrap_or(EPHEMERAL);
    let end = match first {
        0..LOWEST => EPHEMERAL,
        first if first - LOWEST < ENOUGH => EPHEMERAL,
        first => first,
    };
    LOWEST..end
}
