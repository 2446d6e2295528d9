//! Reading for Pingora: what was read too early comes first, then the stream, and never more than
//! is asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// Shows what was read already, at most so much, and tells how much; `None` if there is nothing.
pub(super) fn show(early: &mut Vec<u8>, buf: &mut ReadBuf<'_>, most: usize) -> Option<usize> {
    if early.is_empty() {
        return None;
    }
    let count = early.len().min(most).min(buf.remaining());
    let rest = early.split_off(count);
    buf.put_slice(&std::mem::replace(early, rest));
    Some(count)
}

/// What was read too much comes before all that was read already.
pub(super) fn put_back(early: &mut Vec<u8>, beyond: &[u8]) {
    if !beyond.is_empty() {
        *early = [beyond, early].concat();
    }
}

/// Reads at most so much from the stream, and tells how much. Nothing is the end.
pub(super) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<usize>> {
    let before = buf.filled().len();
    let mut limited = stream.take(most as u64);
    let read = ready!(Pin::new(&mut limited).poll_read(cx, buf));
    Poll::Ready(read.map(|()| buf.filled().len() - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_back_is_shown_first_and_a_part_at_a_time() {
        let mut early = b"cd".to_vec();
        put_back(&mut early, b"ab");
        put_back(&mut early, b"");
        let mut memory = [0; 3];
        let mut buf = ReadBuf::new(&mut memory);
        assert_eq!(show(&mut early, &mut buf, 1), Some(1));
        assert_eq!(
            show(&mut early, &mut buf, 9),
            Some(2),
            "there is no more room"
        );
        assert_eq!((buf.filled(), &*early), (&b"abc"[..], &b"d"[..]));
        assert_eq!(show(&mut Vec::new(), &mut buf, 9), None);
    }
}
