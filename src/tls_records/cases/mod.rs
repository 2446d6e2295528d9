//! What this room does with a peer: rustls, in either role, or records that no peer should send.

mod against_rustls;
mod faults;
mod forged;
mod limits;
mod moved;

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::{io, pin::Pin};

use futures_util::FutureExt as _;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite as suites, default_provider};
use rustls::pki_types::PrivateKeyDer;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, Error, RootCertStore,
    ServerConfig, ServerConnection, SupportedCipherSuite,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reader::Role;
use super::{FirstSecrets, Records, SecretNotes, take_over, with_secrets};

const SUITES: [SupportedCipherSuite; 6] = [
    suites::TLS13_AES_128_GCM_SHA256,
    suites::TLS13_AES_256_GCM_SHA384,
    suites::TLS13_CHACHA20_POLY1305_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];
const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A socket that gives and takes so many bytes at a time, in turn.
#[derive(Debug, Default)]
struct Socket {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    reads: Turns,
    writes: Turns,
    has_ended: bool,
}

/// How many bytes pass at a time: each of these in turn, 0 being none for now; or all there are.
#[derive(Debug, Clone, Default)]
struct Turns(Vec<usize>, usize);

impl Turns {
    fn of(turns: &[usize]) -> Self {
        Turns(turns.to_vec(), 0)
    }

    fn next(&mut self) -> usize {
        let next = self.0.get(self.1).copied().unwrap_or(usize::MAX);
        self.1 = (self.1 + 1) % self.0.len().max(1);
        next
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.incoming.is_empty() && socket.has_ended {
            return Poll::Ready(Ok(()));
        }
        let most = socket.reads.next().min(buf.remaining());
        let part: Vec<u8> = socket
            .incoming
            .drain(..most.min(socket.incoming.len()))
            .collect();
        buf.put_slice(&part);
        if part.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let count = socket.writes.next().min(bytes.len());
        socket.outgoing.extend_from_slice(&bytes[..count]);
        if count == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(count))
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What came of reading all that there is.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Waits,
    Ended,
    Broke(String),
}

/// A connection of which we have one end.
struct Pair {
    ours: Records<Socket>,
    theirs: Connection,
    /// What they have read, and why they read nothing more.
    heard: Vec<u8>,
    broke: Option<Error>,
}

impl Pair {
    fn new(suite: SupportedCipherSuite, role: Role) -> Pair {
        let ((mut client, mut server), secrets) = with_secrets(async { shaken(suite) })
            .now_or_never()
            .unwrap();
        // Tickets come after the handshake.
        if role == Role::Server {
            pass(&mut server, &mut client).unwrap();
        }
        let (ours, theirs) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let ours = take_over(Socket::default(), ours, &secrets).unwrap();
        Pair {
            ours,
            theirs,
            heard: Vec::new(),
            broke: None,
        }
    }

    /// All pairs that there can be.
    fn all() -> impl Iterator<Item = Pair> {
        let roles = |suite| ROLES.map(|role| Pair::new(suite, role));
        SUITES.into_iter().flat_map(roles)
    }

    /// They send this.
    fn say(&mut self, data: &[u8]) {
        use io::Write as _;
        self.theirs.set_buffer_limit(None);
        self.theirs.writer().write_all(data).unwrap();
        self.send();
    }

    /// What they have to send comes to us.
    fn send(&mut self) {
        while self.theirs.wants_write() {
            self.theirs
                .write_tls(&mut self.ours.socket_mut().incoming)
                .unwrap();
        }
    }

    /// Reads what has come, with this much room, until there is nothing for now.
    fn read(&mut self, room: usize) -> (Vec<u8>, End) {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut read, mut memory) = (Vec::new(), vec![0; room]);
        loop {
            let mut buf = ReadBuf::new(&mut memory);
            match Pin::new(&mut self.ours).poll_read(&mut cx, &mut buf) {
                Poll::Pending if self.ours.socket().incoming.is_empty() => {
                    return (read, End::Waits);
                }
                Poll::Pending => {}
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return (read, End::Ended),
                Poll::Ready(Ok(())) => read.extend_from_slice(buf.filled()),
                Poll::Ready(Err(error)) => return (read, End::Broke(error.to_string())),
            }
        }
    }

    /// We send this.
    fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        while !data.is_empty() {
            if let Poll::Ready(count) = Pin::new(&mut self.ours).poll_write(&mut cx, data) {
                data = &data[count?..];
            }
        }
        while Pin::new(&mut self.ours).poll_flush(&mut cx)?.is_pending() {}
        Ok(())
    }

    /// They read what we have sent.
    fn hear(&mut self) {
        use io::Read as _;
        let sent = std::mem::take(&mut self.ours.socket_mut().outgoing);
        let mut rest = &sent[..];
        while !rest.is_empty() && self.broke.is_none() {
            if self.theirs.read_tls(&mut rest).unwrap() == 0 {
                return;
            }
            match self.theirs.process_new_packets() {
                Ok(state) => {
                    let mut data = vec![0; state.plaintext_bytes_to_read()];
                    self.theirs.reader().read_exact(&mut data).unwrap();
                    self.heard.extend_from_slice(&data);
                }
                Err(error) => self.broke = Some(error),
            }
        }
    }

    /// The alert that they have heard.
    fn alert(&mut self) -> Option<AlertDescription> {
        self.hear();
        match self.broke {
            Some(Error::AlertReceived(alert)) => Some(alert),
            _ => None,
        }
    }
}

/// A client and a server that have shaken hands; tickets are still to be sent.
fn shaken(suite: SupportedCipherSuite) -> (Connection, Connection) {
    let (client, server) = configurations(suite);
    let name = "localhost".try_into().unwrap();
    let mut client = Connection::from(ClientConnection::new(client, name).unwrap());
    let mut server = Connection::from(ServerConnection::new(server).unwrap());
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server).unwrap();
        if client.is_handshaking() {
            pass(&mut server, &mut client).unwrap();
        }
    }
    pass(&mut client, &mut server).unwrap();
    (client, server)
}

/// One reads what the other has to send.
fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

fn configurations(suite: SupportedCipherSuite) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    static CERTIFICATE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (certificate, key) = CERTIFICATE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    });
    let provider = CryptoProvider {
        cipher_suites: vec![suite],
        ..default_provider()
    };
    let (provider, versions) = (Arc::new(provider), [suite.version()]);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let client = client.with_protocol_versions(&versions).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider);
    let server = server
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.clone()).unwrap();
    let mut server = server
        .with_single_cert(vec![certificate.clone().into()], key)
        .unwrap();
    client.enable_secret_extraction = true;
    client.key_log = Arc::new(SecretNotes);
    server.enable_secret_extraction = true;
    server.key_log = Arc::new(SecretNotes);
    (Arc::new(client), Arc::new(server))
}
