//! Where listening sockets come from: bound here, or taken over from a process that served before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 65_535;

/// Sockets that another process listened on; each is taken once.
#[derive(Debug, Default)]
pub struct Sockets {
    tcp: HashMap<SocketAddr, TcpListener>,
    unix: HashMap<PathBuf, UnixListener>,
}

impl Sockets {
    /// Adds a socket that was taken over.
    pub fn inherit(&mut self, address: SocketAddr, socket: TcpListener) {
        self.tcp.insert(address, socket);
    }

    /// Adds a socket at a path that was taken over.
    pub fn inherit_unix(&mut self, path: PathBuf, socket: UnixListener) {
        self.unix.insert(path, socket);
    }

    /// The socket for this address: the one that is there, which stays what it is, or a new one.
    pub fn listen(&mut self, address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
        match self.tcp.remove(&address) {
            Some(socket) => Ok(socket),
            None => bind(address, v6_only),
        }
    }

    /// Has a socket for this address ready, if there is none yet.
    pub fn prepare(&mut self, address: SocketAddr, v6_only: bool) -> io::Result<()> {
        if let Entry::Vacant(place) = self.tcp.entry(address) {
            place.insert(bind(address, v6_only)?);
        }
        Ok(())
    }

    /// The socket at this path: the one that is there, or a new one; with this mode.
    pub fn listen_unix(&mut self, path: &Path, mode: u32) -> io::Result<UnixListener> {
        let Some(socket) = self.unix.remove(path) else {
            return bind_unix(path, mode);
        };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(socket)
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

/// Binds a Unix socket with this mode, in the place of one that nobody listens on any more.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::other("another process serves there"));
    }
    refuse_to_replace_a_file(path)?;
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let listener = UnixListener::bind(&new)?;
    let placed = listener
        .set_nonblocking(true)
        .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&new, path));
    match placed {
        Ok(()) => Ok(listener),
        Err(error) => {
            fs::remove_file(&new).ok();
            Err(error)
        }
    }
}

/// A path that was mistyped must not cost somebody a file.
fn refuse_to_replace_a_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        _ => Ok(()),
    }
}
