//! Where listening sockets come from: bound here, or taken over from a process that served before.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 65_535;

/// Sockets that another process listened on; each is taken once.
#[derive(Debug, Default)]
pub struct Sockets(HashMap<SocketAddr, TcpListener>);

impl Sockets {
    /// Those that were taken over.
    pub fn inherited(sockets: impl Iterator<Item = (SocketAddr, TcpListener)>) -> Self {
        Sockets(sockets.collect())
    }

    /// The socket for this address: the one that is there, which stays what it is, or a new one.
    pub fn listen(&mut self, address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
        match self.0.remove(&address) {
            Some(socket) => Ok(socket),
            None => bind(address, v6_only),
        }
    }
}

/// Binds an address and listens on it. An IPv6 address takes IPv6 only, or `::` both families.
fn bind(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
