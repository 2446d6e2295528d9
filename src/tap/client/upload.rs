//! The body of a request: read as far as the target takes it, and chunks to the letter.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Tap;
use crate::stream::{ClientEnd, Framing};
use crate::tap::body::poll_chunk;
use crate::tap::chunks::Chunks;
use crate::tap::{early, trailers};

/// How often it is looked whether a client is still there that nothing is read from.
const LOOK: Duration = Duration::from_millis(500);
/// How much of a body may be on its way to a target that does not take it, in bytes.
const WINDOW: usize = 16 << 10;

impl Tap {
    /// Shows a part of the body, as much as there is room for on the way to the target.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.wire.body_left();
        if left == Framing::Length(0) {
            return self.poll_end(cx);
        }
        if left == Framing::UntilClose {
            let count = ready!(self.poll_stream(cx, buf, usize::MAX))?;
            self.wire.count_read(count);
            return Poll::Ready(Ok(()));
        }
        if self.wire.upload.poll_room(cx).is_pending() {
            return self.poll_gone(cx, left).map(Err);
        }
        self.look = None;
        let read = match left {
            Framing::Length(left) => {
                let most = usize::try_from(left).map_or(WINDOW, |left| left.min(WINDOW));
                self.poll_stream(cx, buf, most)
            }
            Framing::Chunked | Framing::UntilClose => self.poll_chunks(cx, buf),
        };
        if read.is_pending() {
            ready!(self.read_pace.poll_late(cx, self.demand()));
            self.wire.ended(ClientEnd::BodyLate);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let payload = ready!(read)?;
        self.read_pace.moved(payload);
        self.wire.count_read(payload);
        self.wire.upload.give(payload);
        self.wire.body_read(payload);
        Poll::Ready(Ok(()))
    }

    /// Shows a part of a chunked body, in a chunk of ours.
    fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let exchange = self.wire.exchanges();
        let mut chunks = match self.chunks {
            (present, chunks) if present == exchange => chunks,
            _ => {
                self.trailers.clear();
                Chunks::default()
            }
        };
        let mut trailers = std::mem::take(&mut self.trailers);
        let read = |buf: &mut ReadBuf<'_>, most| self.poll_stream(cx, buf, most);
        let shown = poll_chunk(&mut chunks, &mut trailers, buf, WINDOW, read);
        self.trailers = trailers;
        self.chunks = (exchange, chunks);
        let (payload, beyond) = match ready!(shown) {
            Ok(shown) => shown,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.wire.ended(ClientEnd::BodyMalformed);
                }
                return Poll::Ready(Err(error));
            }
        };
        early::put_back(&mut self.early, &beyond);
        if chunks.is_over() {
            self.bring_trailers()?;
            self.wire.expect_body(Framing::Length(0));
        }
        Poll::Ready(Ok(payload))
    }

    fn bring_trailers(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.trailers);
        if text.is_empty() {
            return Ok(());
        }
        match trailers::parse(&text) {
            Ok(trailers) => {
                self.wire.bring_request_trailers(trailers);
                Ok(())
            }
            Err(why) => {
                self.wire.ended(ClientEnd::BodyMalformed);
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        }
    }

    /// While nothing is read, looks now and then whether the client has gone in the middle of its
    /// request. One that has sent all of it may have ended its side, which is noted.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>, left: Framing) -> Poll<io::Error> {
        loop {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            ready!(look.as_mut().poll(cx));
            self.look = None;
            let Some(stream) = &mut self.stream else {
                continue;
            };
            let (undelivered, cut) = stream.get_mut().undelivered();
            let read = self.early.len() + undelivered;
            let Some(socket) = stream.get_ref().socket() else {
                continue;
            };
            match side_of(socket, left, read, cut) {
                Side::Open => {}
                Side::Whole => self.wire.half_closed(),
                Side::Gone(end) => {
                    self.wire.ended(end);
                    return Poll::Ready(io::ErrorKind::ConnectionReset.into());
                }
            }
        }
    }
}

/// How the client's side of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// More may come.
    Open,
    /// It has ended behind a whole request.
    Whole,
    /// It is broken, or has ended in the middle of a request.
    Gone(ClientEnd),
}

/// How the client's side is, as the system knows. Of its request so much is lacking, of which so
/// much has been read, and so much more may have been if its rest is still to be read.
fn side_of(socket: &TcpStream, left: Framing, read: usize, cut: usize) -> Side {
    let mut events = [PollFd::new(socket, PollFlags::RDHUP)];
    if !matches!(poll(&mut events, Some(&Timespec::default())), Ok(1..)) {
        return Side::Open;
    }
    let found = events[0].revents();
    if found.intersects(PollFlags::ERR | PollFlags::HUP) {
        return Side::Gone(ClientEnd::Broken);
    }
    if !found.contains(PollFlags::RDHUP) {
        return Side::Open;
    }
    let waiting = rustix::io::ioctl_fionread(socket).unwrap_or(u64::MAX);
    let cut = if waiting > 0 { cut } else { 0 };
    let come = waiting.saturating_add((read + cut) as u64);
    let is_whole = match left {
        Framing::Length(left) => come >= left,
        Framing::Chunked | Framing::UntilClose => come > 0,
    };
    match is_whole {
        true => Side::Whole,
        false => Side::Gone(ClientEnd::Closed),
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const GONE: Side = Side::Gone(ClientEnd::Closed);
    const BROKEN: Side = Side::Gone(ClientEnd::Broken);

    #[tokio::test]
    async fn a_client_has_gone_if_it_has_ended_in_the_middle_of_its_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (sent, framing, (read, cut), is_reset, expected) in [
            ("", Framing::Length(2), (0, 0), false, GONE),
            ("a", Framing::Length(2), (0, 0), false, GONE),
            ("a", Framing::Length(2), (1, 0), false, Side::Whole),
            ("ab", Framing::Length(2), (0, 0), false, Side::Whole),
            ("", Framing::Chunked, (0, 0), false, GONE),
            ("", Framing::Chunked, (5, 0), false, Side::Whole),
            ("0\r\n\r\n", Framing::Chunked, (0, 0), false, Side::Whole),
            ("ab", Framing::Length(2), (0, 0), true, BROKEN),
            ("", Framing::Length(0), (1, 0), true, BROKEN),
            ("a", Framing::Length(9), (0, 8), false, Side::Whole),
            ("", Framing::Length(9), (0, 9), false, GONE),
        ] {
            let client = TcpStream::connect(address);
            let (client, server) = tokio::join!(client, listener.accept());
            let (mut client, (server, _)) = (client.unwrap(), server.unwrap());
            client.write_all(sent.as_bytes()).await.unwrap();
            let found = side_of(&server, framing, read, cut);
            assert_eq!(found, Side::Open, "{sent:?}");
            if is_reset {
                SockRef::from(&client)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
            drop(client);
            let found = side_of(&server, framing, read, cut);
            assert_eq!(found, expected, "{sent:?} {framing:?}");
        }
    }
}
