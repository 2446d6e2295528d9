//! The messages of a stream, which the gateway ends with a line feed each.

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};

use super::error::{Cause, chain};

/// The messages of a stream. What is read so far is kept where a wait is given up.
pub(super) struct Lines<B> {
    body: B,
    unread: BytesMut,
    /// How much of it was looked at, and has no end.
    seen: usize,
    most: usize,
}

impl<B> Lines<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    /// Those in a body, each of which has at most so many bytes.
    pub(super) fn new(body: B, most: usize) -> Self {
        Lines {
            body,
            unread: BytesMut::new(),
            seen: 0,
            most,
        }
    }

    /// The next message; `None` where the stream is over. What comes after the last line feed is no
    /// message.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, Cause> {
        loop {
            let line = self.split();
            if line.as_ref().unwrap_or(&self.unread).len() > self.most {
                return Err(Cause::AnswerTooLarge);
            }
            if line.is_some() {
                return Ok(line);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
                    self.unread.extend_from_slice(data);
                }
                Some(Err(error)) => return Err(Cause::Broken(chain(&error))),
            }
        }
    }

    fn split(&mut self) -> Option<BytesMut> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.unread[self.seen..]) else {
                self.seen = self.unread.len();
                return None;
            };
            let line = self.unread.split_to(self.seen + end + 1);
            self.seen = 0;
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    async fn read(chunks: &[&'static str], most: usize) -> (Vec<String>, Result<(), Cause>) {
        let frames = chunks
            .iter()
            .map(|chunk| Bytes::from_static(chunk.as_bytes()));
        let frames: Vec<_> = frames
            .map(|data| Ok::<_, Infallible>(Frame::data(data)))
            .collect();
        let mut lines = Lines::new(StreamBody::new(stream::iter(frames)), most);
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => found.push(String::from_utf8_lossy(line.trim_ascii()).into()),
                Ok(None) => return (found, Ok(())),
                Err(cause) => return (found, Err(cause)),
            }
        }
    }

    #[tokio::test]
    async fn a_message_is_whole_however_it_comes() {
        let (found, end) = read(
            &["{\"a\"", ":1}\n{}", "\n\n{\"b\":2}\n{\"cut", " off\""],
            20,
        )
        .await;
        assert_eq!(found, ["{\"a\":1}", "{}", "{\"b\":2}"]);
        assert_eq!(end, Ok(()));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_an_error_with_an_end_or_without() {
        for rest in [&["0123456789"; 3][..], &["0123456789012345678901234\n"]] {
            let (found, end) = read(&[&["{}\n"], rest].concat(), 20).await;
            assert_eq!(found, ["{}"], "{rest:?}");
            assert_eq!(end, Err(Cause::AnswerTooLarge), "{rest:?}");
        }
    }
}
