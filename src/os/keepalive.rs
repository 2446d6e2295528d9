//! Peers that have vanished, which only the system can find out; and options of TCP where a socket
//! may be a Unix one.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};

/// Has the system probe a peer after some silence, and give it up when it does not answer for as
/// long again, or takes nothing for that long in all though something waits for it
/// (TCP_USER_TIMEOUT, RFC 5482). With that option Linux no longer counts the probes, so it has to
/// be the same time. A peer on a Unix socket cannot vanish.
pub fn probe_when_silent<'a>(socket: impl Into<SockRef<'a>>, silence: Duration) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(silence)
        .with_interval(silence / 4)
        .with_retries(4);
    let socket = socket.into();
    unless_unix(socket.set_tcp_keepalive(&probes))?;
    unless_unix(socket.set_tcp_user_timeout(Some(silence * 2)))
}

/// What setting an option of TCP has come to, where a Unix socket has no such thing and needs none.
pub fn unless_unix(set: io::Result<()>) -> io::Result<()> {
    match set {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => Ok(()),
        set => set,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_peer_is_given_up_after_twice_the_silence_however_it_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        let silence = Duration::from_secs(40);
        probe_when_silent(&stream, silence).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), silence);
        let (every, times) = (
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        );
        assert_eq!(every * times, silence);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(silence * 2));
    }

    #[test]
    fn options_of_tcp_are_passed_over_on_unix_sockets() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        probe_when_silent(&stream, Duration::from_secs(40)).unwrap();
        unless_unix(SockRef::from(&stream).set_tcp_nodelay(true)).unwrap();
    }
}
