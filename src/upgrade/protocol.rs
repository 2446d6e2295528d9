//! What two processes say to each other over `server.upgradeSocket`: one JSON object a line, and
//! sockets beside those lines that speak of some. Fields that are not known are passed over, and
//! those that are missing have a default, so that versions understand each other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::secret_key::SecretKey;
use crate::os::reserve;
use crate::target_group::{Ejection, TargetId};
use crate::telemetry::metrics::Open;
use crate::tls::OwnKey;

/// The longest line that is read.
const LONGEST_LINE: usize = 16 << 20;
const CHUNK: usize = 16 << 10;
/// How much is set aside for a line that is sent: one that grows leaves copies behind.
const USUAL_LINE: usize = 16 << 10;
/// What tunnels are told in.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Message {
    /// A command asks the running process to start this binary with this configuration, and to hand
    /// over to it.
    Upgrade { binary: PathBuf, conf: PathBuf },
    /// The answer to that.
    Upgraded(Result<u32, String>),
    /// A new process waits for the sockets.
    TakeOver,
    /// The running process gives a socket.
    Socket(Role),
    /// It gives the keys of its session tickets.
    TicketKeys(Vec<OwnKey>),
    /// It gives the key of its sticky cookies.
    StickinessKey(SecretKey),
    /// It gives the targets that do not pass their health checks.
    Unhealthy(Vec<TargetId>),
    /// It gives those that are ejected, where there are any.
    Ejected(Vec<Ejection>),
    /// It gives what the names of targets resolve to.
    Names(BTreeMap<String, Vec<IpAddr>>),
    /// It has given all.
    AllSockets,
    /// The new process is ready to accept.
    Ready,
    /// The new process ends, and why.
    Failed(String),
    /// The running process does not accept any more.
    Over,
    /// The new process has taken all over, and has this `server.upgradeSocket`.
    Settled(Option<PathBuf>),
    /// The old process is an old one from now on, like these before it.
    Farewell(Vec<u32>),
    /// The running process goes on by itself; the new one must end, and why.
    GiveUp(String),
    /// An old process tells the running one what it still holds.
    StillOpen(Vec<Open>),
    /// The same, and it has tunnels that may go to the running one.
    Move(Move),
    /// The running process takes so many descriptors, in this format.
    Room { format: u32, descriptors: usize },
    /// So many tunnels follow: a line each, with two sockets beside it.
    Batch(usize),
    /// The running process can go on with all of them but these, and has this room left.
    Built {
        #[serde(default)]
        refused: Vec<usize>,
        #[serde(default)]
        descriptors: usize,
    },
    /// The tunnels are the running process's.
    Go,
}

/// What an old process says of its tunnels.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Move {
    /// What it can tell them in.
    pub(super) formats: Vec<u32>,
    /// All that are open there.
    pub(super) open: Vec<Open>,
    /// What target groups were called before, by what they are called now.
    pub(super) former_names: HashMap<String, Vec<String>>,
    /// The `deregistrationDelay` of its target groups.
    pub(super) delays: BTreeMap<String, Duration>,
    /// How many tunnels stay there, by why.
    pub(super) staying: BTreeMap<String, u64>,
}

/// What a socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Role {
    /// A forwarding rule's address.
    Listener(SocketAddr),
    /// `admin.listen` or `api.listen`: what a version that knows no API knows, too.
    #[serde(rename = "admin")]
    Control(SocketAddr),
    /// One of those, a Unix socket.
    #[serde(rename = "adminAt")]
    ControlAt(PathBuf),
    /// `server.upgradeSocket`
    Upgrade,
}

/// One end.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    text: Zeroizing<Vec<u8>>,
    sockets: VecDeque<OwnedFd>,
    has_lost_sockets: bool,
}

impl Link {
    /// The end that this stream is. It blocks.
    pub(super) fn new(stream: UnixStream) -> Self {
        Link {
            stream,
            text: Zeroizing::default(),
            sockets: VecDeque::new(),
            has_lost_sockets: false,
        }
    }

    /// Something to end the link with, from another thread.
    pub fn cutter(&self) -> io::Result<UnixStream> {
        reserve::with(1, || self.stream.try_clone())
    }

    /// How long to wait for the other end in each step; `None` for ever.
    pub(super) fn patience(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(limit)?;
        self.stream.set_write_timeout(limit)
    }

    /// The process at the other end: of one who listened there the one who began to. The error
    /// tells that it is neither root's nor our own user's, who alone are dealt with.
    pub(super) fn trusted_peer(&self) -> io::Result<u32> {
        let peer = sockopt::socket_peercred(&self.stream)?;
        let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or_default();
        let (uid, ours) = (peer.uid.as_raw(), rustix::process::geteuid().as_raw());
        if uid != 0 && uid != ours {
            return Err(io::Error::other(format!(
                "process {pid} of user {uid} is not trusted: only those of root and of \
                 user {ours} are"
            )));
        }
        Ok(pid)
    }

    /// Whether the other end is still there.
    pub(super) fn is_open(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, &mut byte, flags) {
            Ok((_, count)) => count > 0,
            Err(error) => error == rustix::io::Errno::AGAIN,
        }
    }

    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_line(message, &[])
    }

    /// Sends a line with a socket beside it.
    pub(super) fn send_socket(&self, role: Role, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.send_line(&Message::Socket(role), &[socket])
    }

    /// Sends a line with at most two sockets beside it.
    pub(super) fn send_line(
        &self,
        what: &impl Serialize,
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        // There may be keys in it.
        let mut line = Zeroizing::new(Vec::with_capacity(USUAL_LINE));
        serde_json::to_writer(&mut *line, what)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(sockets));
        }
        let mut sent = 0;
        while sent < line.len() {
            let rest = IoSlice::new(&line[sent..]);
            sent += sendmsg(&self.stream, &[rest], &mut beside, SendFlags::NOSIGNAL)?;
            beside = SendAncillaryBuffer::default();
        }
        Ok(())
    }

    /// The next line. An error of the kind `UnexpectedEof` is the other end's end.
    pub(super) fn receive(&mut self) -> io::Result<Message> {
        let line = self.receive_line()?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The next line, as it is.
    pub(super) fn receive_line(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.text) {
                return Ok(Zeroizing::new(self.text.drain(..=end).collect()));
            }
            if self.text.len() > LONGEST_LINE {
                return Err(io::Error::other("a line has no end"));
            }
            self.read()?;
        }
    }

    /// The socket that came beside the last line that spoke of one.
    pub(super) fn socket(&mut self) -> io::Result<OwnedFd> {
        let none = || io::Error::other("a socket is announced that did not come");
        self.sockets.pop_front().ok_or_else(none)
    }

    /// Whether sockets have been lost on the way since this was asked last: no files were left.
    /// Those that have come are closed then, for it is not known whose they are.
    pub(super) fn has_lost_sockets(&mut self) -> bool {
        let has_lost = std::mem::take(&mut self.has_lost_sockets);
        if has_lost {
            self.sockets.clear();
        }
        has_lost
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let read = recvmsg(
            self.stream.as_fd(),
            &mut [IoSliceMut::new(&mut chunk)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                self.sockets.extend(sockets);
            }
        }
        self.has_lost_sockets |= read.flags.contains(ReturnFlags::CTRUNC);
        if read.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.text.extend_from_slice(&chunk[..read.bytes]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn lines_and_sockets_arrive_together() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (ours, mut theirs) = (Link::new(ours), Link::new(theirs));
        let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        for socket in &sockets {
            let role = Role::Listener(socket.local_addr().unwrap());
            ours.send_socket(role, socket.as_fd()).unwrap();
        }
        ours.send(&Message::AllSockets).unwrap();
        for socket in &sockets {
            let Message::Socket(Role::Listener(address)) = theirs.receive().unwrap() else {
                panic!("not a socket");
            };
            let copy = TcpListener::from(theirs.socket().unwrap());
            assert_eq!(copy.local_addr().unwrap(), address);
            assert_eq!(address, socket.local_addr().unwrap());
        }
        assert!(matches!(theirs.receive().unwrap(), Message::AllSockets));
        assert!(theirs.socket().is_err());
        assert!(theirs.is_open());
        drop(ours);
        // A process that another test starts may have a copy for a moment.
        let end = theirs.receive().unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        assert!(!theirs.is_open());
    }

    /// A process of an older version must be able to take over.
    #[test]
    fn the_roles_of_control_addresses_are_called_what_they_always_were() {
        let address = "127.0.0.1:9901".parse().unwrap();
        let written = |role| serde_json::to_string(&Message::Socket(role)).unwrap();
        let expected = "{\"socket\":{\"admin\":\"127.0.0.1:9901\"}}";
        assert_eq!(written(Role::Control(address)), expected);
        let expected = "{\"socket\":{\"adminAt\":\"/run/api.sock\"}}";
        assert_eq!(written(Role::ControlAt("/run/api.sock".into())), expected);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = Link::new(theirs);
        ours.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(theirs.receive().is_err());
    }
}
