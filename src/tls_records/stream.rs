//! A connection in TLS over a socket. What is read is opened where the caller wants it, what is
//! written is sealed in a buffer of the thread; kept is only the beginning of a record that has not
//! come whole, and what the socket does not take.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ring::error::Unspecified;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::reader::{LONGEST, Opened, Reader};
use super::state::RecordsState;
use super::writer::Writer;

/// How much data is sealed at a time, at most.
const MOST_AT_ONCE: usize = 64 << 10;

thread_local! {
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection in TLS, from its handshake on.
pub(crate) struct Records<S> {
    socket: S,
    reader: Reader,
    writer: Writer,
    /// Read: the beginning of a record.
    begun: Vec<u8>,
    /// Opened, but there was no room for it.
    opened: Vec<u8>,
    /// Sealed, and not taken by the socket.
    unsent: Vec<u8>,
    /// Why nothing more is read.
    end: Option<Result<(), Fault>>,
}

/// What was under way when the connection was taken over.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Data that nobody has read.
    pub(super) opened: Vec<u8>,
    /// Records that have not been sent.
    pub(super) unsent: Vec<u8>,
    /// The peer has said that nothing more comes.
    pub(super) has_ended: bool,
}

impl<S> Records<S> {
    pub(super) fn new(socket: S, reader: Reader, writer: Writer, under_way: UnderWay) -> Self {
        Records {
            socket,
            reader,
            writer,
            begun: Vec::new(),
            opened: under_way.opened,
            unsent: under_way.unsent,
            end: under_way.has_ended.then_some(Ok(())),
        }
    }

    /// Goes on where another process has stopped. Errors: it cannot have been there.
    pub(crate) fn resume(socket: S, state: &RecordsState) -> io::Result<Self> {
        let broken = |Unspecified| io::Error::other("TLS: a state that cannot be");
        if state.begun.len() >= LONGEST {
            return Err(broken(Unspecified));
        }
        Ok(Records {
            socket,
            reader: Reader::resume(&state.reader).map_err(broken)?,
            writer: Writer::resume(&state.writer).map_err(broken)?,
            begun: state.begun.to_vec(),
            opened: state.opened.to_vec(),
            unsent: state.unsent.to_vec(),
            end: state.has_ended.then_some(Ok(())),
        })
    }

    /// What another process needs to go on with it.
    pub(crate) fn state(&self) -> RecordsState {
        RecordsState {
            reader: self.reader.state(),
            writer: self.writer.state(),
            begun: Zeroizing::new(self.begun.clone()),
            opened: Zeroizing::new(self.opened.clone()),
            unsent: Zeroizing::new(self.unsent.clone()),
            has_ended: self.end.is_some(),
        }
    }

    /// Whether the peer has broken the protocol.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.end, Some(Err(_)))
    }

    /// The same over another form of its socket.
    pub(crate) fn over<T>(self, form: impl FnOnce(S) -> io::Result<T>) -> io::Result<Records<T>> {
        Ok(Records {
            socket: form(self.socket)?,
            reader: self.reader,
            writer: self.writer,
            begun: self.begun,
            opened: self.opened,
            unsent: self.unsent,
            end: self.end,
        })
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Gives away data that was opened before.
    fn show(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.opened.len().min(buf.remaining());
        let rest = self.opened.split_off(count);
        buf.put_slice(&std::mem::replace(&mut self.opened, rest));
        if self.opened.is_empty() {
            self.opened = Vec::new();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Records<S> {
    /// Reads into this memory, which has room for the longest record, and opens what has come.
    /// Tells how much data is at its beginning; none is the end, or that something else came.
    fn poll_open(&mut self, cx: &mut Context<'_>, memory: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(&mut memory[self.begun.len()..]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
        let count = buf.filled().len();
        let begun = std::mem::take(&mut self.begun);
        if count == 0 {
            self.end = Some(Ok(()));
            return Poll::Ready(Ok(0));
        }
        memory[..begun.len()].copy_from_slice(&begun);
        let read = &mut memory[..begun.len() + count];
        let opened = self.reader.open(read);
        self.begun = match opened.end {
            None => read[opened.taken..].to_vec(),
            Some(_) => Vec::new(),
        };
        self.act_on(&opened);
        self.send_unless_stuck(cx);
        Poll::Ready(Ok(opened.data))
    }

    /// Notes what has come; a fault is answered at once.
    fn act_on(&mut self, opened: &Opened) {
        self.writer.note(opened);
        self.end = opened.end;
        if let Some(Err(fault)) = opened.end {
            match fault.alert() {
                Some(alert) => self.writer.fail(alert, &mut self.unsent),
                None => self.writer.stop(),
            }
        }
    }

    /// Sends what is sealed, and then what the peer has asked for: so one answer waits at most.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut sent = 0;
            let result = poll_write_all(&mut self.socket, cx, &self.unsent, &mut sent);
            match sent == self.unsent.len() {
                true => self.unsent = Vec::new(),
                false => drop(self.unsent.drain(..sent)),
            }
            ready!(result)?;
            if !self.writer.owes_answer() {
                return Poll::Ready(Ok(()));
            }
            self.writer.answer(&mut self.unsent);
        }
    }

    /// An answer waits for no data of ours. That it cannot be sent matters to whoever writes next.
    fn send_unless_stuck(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            log::debug!("TLS: an answer: {error}");
        }
    }

    /// Why nothing can be written.
    fn why_closed(&self) -> io::Error {
        match self.writer.is_used_up() {
            true => Fault::UsedUp.into(),
            false => io::ErrorKind::BrokenPipe.into(),
        }
    }

    fn read_end(&self) -> Option<io::Result<()>> {
        self.end.map(|end| end.map_err(io::Error::from))
    }
}

fn poll_write_all<S: AsyncWrite + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
    sent: &mut usize,
) -> Poll<io::Result<()>> {
    while *sent < bytes.len() {
        match ready!(Pin::new(&mut *socket).poll_write(cx, &bytes[*sent..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *sent += count,
        }
    }
    Poll::Ready(Ok(()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Records<S> {
    /// A FIN without a close_notify is an end as well.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let records = self.get_mut();
        records.send_unless_stuck(cx);
        loop {
            if buf.remaining() == 0 || !records.opened.is_empty() {
                records.show(buf);
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = records.read_end() {
                return Poll::Ready(end);
            }
            if buf.remaining() >= LONGEST {
                let data = ready!(records.poll_open(cx, buf.initialize_unfilled()))?;
                buf.advance(data);
                if data > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut memory = vec![0; LONGEST];
                let data = ready!(records.poll_open(cx, &mut memory))?;
                records.opened = memory[..data].to_vec();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Records<S> {
    /// Takes data when all that was sealed before has been sent.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let records = self.get_mut();
        ready!(records.poll_send(cx))?;
        if records.writer.is_closed() {
            return Poll::Ready(Err(records.why_closed()));
        }
        SEALED.with_borrow_mut(|sealed| {
            sealed.clear();
            let count = records
                .writer
                .seal(&data[..data.len().min(MOST_AT_ONCE)], sealed);
            let mut sent = 0;
            let result = poll_write_all(&mut records.socket, cx, sealed, &mut sent);
            records.unsent.extend_from_slice(&sealed[sent..]);
            match result {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ if count == 0 && !data.is_empty() => Poll::Ready(Err(records.why_closed())),
                _ => Poll::Ready(Ok(count)),
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let records = self.get_mut();
        ready!(records.poll_send(cx))?;
        Pin::new(&mut records.socket).poll_flush(cx)
    }

    /// Says that nothing more comes, and ends the socket's direction.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let records = self.get_mut();
        records.writer.close(&mut records.unsent);
        ready!(records.poll_send(cx))?;
        match ready!(Pin::new(&mut records.socket).poll_shutdown(cx)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended),
        }
    }
}

impl<S> fmt::Debug for Records<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

#[cfg(test)]
impl<S> Records<S> {
    pub(super) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    pub(super) fn read_keys(&self) -> &super::keys::Keys {
        self.reader.keys()
    }

    pub(super) fn write_keys(&mut self) -> &mut super::keys::Keys {
        self.writer.keys()
    }

    /// So many records may the writer's keys seal.
    pub(super) fn limit(&mut self, most_records: u64) {
        self.writer.keys().limit(most_records);
    }

    /// The memory of what is under way.
    pub(super) fn kept(&self) -> usize {
        self.begun.capacity() + self.opened.capacity() + self.unsent.capacity()
    }
}
