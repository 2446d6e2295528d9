//! Connects to targets on Unix sockets.
//!
//! What comes of it goes by the name of a TCP stream: reading, writing, shutting down and waiting
//! are the same calls of the system for both, and nothing on the way of a byte has to ask which it
//! is. What only TCP has is refused by the system
//! ([`unless_unix`](crate::os::keepalive::unless_unix)).

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long to wait first, and at most, before a socket is asked again whose queue of connections
/// is full.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Connects to the socket with this path. While its queue of connections is full, which TCP would
/// wait for as well, this waits: the caller has the clock.
pub async fn connect(path: &Path) -> io::Result<TcpStream> {
    let address = SockAddr::unix(path)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        match socket.connect(&address) {
            Ok(()) => return TcpStream::from_std(socket.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            Err(error) => return Err(error),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(listener));
        let _first = connect(&path).await.unwrap();
        let mut second = std::pin::pin!(connect(&path));
        assert!(futures_util::poll!(&mut second).is_pending());
        let _accepted = listener.accept().unwrap();
        let mut second = second.await.unwrap();
        let mut accepted = TcpStream::from_std({
            let stream = std::os::fd::OwnedFd::from(listener.accept().unwrap().0);
            let stream = std::net::TcpStream::from(stream);
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .unwrap();
        second.write_all(b"ping").await.unwrap();
        second.shutdown().await.unwrap();
        let mut heard = String::new();
        accepted.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "ping");
    }

    #[tokio::test]
    async fn that_nobody_is_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        let kind = async || connect(&path).await.unwrap_err().kind();
        assert_eq!(kind().await, io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(kind().await, io::ErrorKind::ConnectionRefused);
    }
}
