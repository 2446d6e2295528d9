//! Both ends of what is counted, in one thread: a client and a target that say their words in turn.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::protocol;
use crate::proxies::Proxy;
use crate::rest::Rest;
use crate::stream::Address;
use crate::tls;

/// What is not said within this time is not said at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is written to when the proxy is at rest.
pub(crate) struct Wire {
    socket: TcpStream,
    rest: Rest,
}

/// What a client speaks over.
pub(crate) trait Speak: Read + Write {}

impl Speak for Wire {}

impl Speak for StreamOwned<ClientConnection, Wire> {}

/// Where both ends are.
pub(crate) struct Ends {
    plain: Address,
    encrypted: Address,
    rest: Rest,
    listener: TcpListener,
    /// The proxy's connection to the target that it keeps.
    kept: RefCell<Option<Wire>>,
}

impl Ends {
    /// Around a proxy that takes the listener for its target.
    pub(crate) fn new(proxy: &Proxy, listener: TcpListener) -> Self {
        Ends {
            plain: proxy.plain.clone(),
            encrypted: proxy.encrypted.clone(),
            rest: Rest::of(proxy.process.id()),
            listener,
            kept: RefCell::default(),
        }
    }

    /// A client's connection.
    pub(crate) fn connect(&self) -> io::Result<Wire> {
        self.wire(self.plain.at)
    }

    /// One in TLS, whose handshake begins with its first words.
    pub(crate) fn connect_in_tls(
        &self,
        offer: Option<&Arc<ClientConfig>>,
    ) -> io::Result<StreamOwned<ClientConnection, Wire>> {
        let offer = offer.or(self.encrypted.tls.as_ref());
        let offer = offer.ok_or_else(|| io::Error::other("no TLS is offered"))?;
        Ok(StreamOwned::new(
            tls::session(offer)?,
            self.wire(self.encrypted.at)?,
        ))
    }

    /// What clients offer in TLS, with these protocols.
    pub(crate) fn offer(&self, protocols: &[&[u8]]) -> Option<Arc<ClientConfig>> {
        let mut config = ClientConfig::clone(self.encrypted.tls.as_ref()?);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Some(Arc::new(config))
    }

    fn wire(&self, to: SocketAddr) -> io::Result<Wire> {
        self.rest.wait()?;
        Wire::new(TcpStream::connect(to)?, self.rest)
    }

    /// The proxy's next connection to the target.
    fn accept(&self) -> io::Result<Wire> {
        Wire::new(self.listener.accept()?.0, self.rest)
    }

    /// Has the target answer a plain request, on the connection that the proxy keeps.
    pub(crate) fn answer_a_request(&self) -> io::Result<()> {
        let mut kept = self.kept.borrow_mut();
        let target = match kept.as_mut() {
            Some(target) => target,
            None => kept.insert(self.accept()?),
        };
        let head = hear(target, ends_a_head)?;
        let answer = protocol::answer_to(&head).unwrap_or_default();
        target.write_all(answer)
    }

    /// Has the target answer a handshake. Its end of the tunnel.
    pub(crate) fn answer_a_handshake(&self) -> io::Result<Wire> {
        let mut target = self.accept()?;
        let head = hear(&mut target, ends_a_head)?;
        let answer = protocol::answer_to(&head).unwrap_or_default();
        target.write_all(answer)?;
        Ok(target)
    }

    /// A tunnel, from end to end.
    pub(crate) fn open<S: Speak>(&self, mut client: S) -> io::Result<(S, Wire)> {
        client.write_all(protocol::HANDSHAKE)?;
        client.flush()?;
        let target = self.answer_a_handshake()?;
        hear(&mut client, protocol::is_switching)?;
        Ok((client, target))
    }

    /// Ends a tunnel, as a client does it that closes.
    pub(crate) fn close<S: Speak>(&self, (mut client, mut target): (S, Wire)) -> io::Result<()> {
        client.write_all(protocol::CLOSE)?;
        client.flush()?;
        echo(&mut target)?;
        target.rest.wait()?;
        target.socket.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).or_else(unless_cut)?;
        if rest != protocol::CLOSE_ECHO {
            return Err(io::Error::other("a tunnel that is closed in another way"));
        }
        self.rest.wait()?;
        drop(client);
        self.rest.wait()
    }
}

/// That TLS ends without a word is no error here: all its bytes are compared.
fn unless_cut(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(0),
        _ => Err(error),
    }
}

/// Has the target send a frame back.
pub(crate) fn echo(target: &mut Wire) -> io::Result<()> {
    let is_whole = |bytes: &[u8]| Ok(protocol::Frame::read(bytes)?.is_some());
    let mut bytes = hear(target, is_whole)?;
    let frame = protocol::Frame::read(&bytes)?.ok_or(io::ErrorKind::InvalidData)?;
    let echo = frame.echo(&mut bytes).to_vec();
    target.write_all(&echo)
}

fn ends_a_head(bytes: &[u8]) -> io::Result<bool> {
    Ok(protocol::head_end(bytes).is_some())
}

/// Reads until all has been said.
pub(crate) fn hear(
    from: &mut impl Read,
    is_all: impl Fn(&[u8]) -> io::Result<bool>,
) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    let mut bytes = [0; 16 << 10];
    while !is_all(&heard)? {
        match from.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => heard.extend(&bytes[..count]),
        }
    }
    Ok(heard)
}

impl Wire {
    fn new(socket: TcpStream, rest: Rest) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Wire { socket, rest })
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.read(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.wait()?;
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.rest.wait()?;
        self.socket.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does something once.
pub(crate) type Script<'a> = Box<dyn FnMut() -> io::Result<()> + 'a>;
