//! A request on its way to a target of HTTP/1.1: where it is, and that no more leaves than belongs
//! to it.

use std::io;

use super::body::Body;
use super::trailers::{LAST_CHUNK, last_chunk};
use crate::stream::{HeadEnd, Wire};

/// How far the request has come that is being sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Head(HeadEnd),
    Body(Body),
}

impl Request {
    /// Takes note of what is sent, and tells how much payload is in it.
    ///
    /// Errors: it is more than the request.
    pub(super) fn follow(&mut self, bytes: &[u8], wire: &Wire) -> io::Result<usize> {
        let rest = match self {
            Request::Body(_) => bytes,
            Request::Head(head) => {
                let Some(end) = head.find(bytes) else {
                    return Ok(0);
                };
                let unknown = || io::Error::other("a request without a framing");
                let framing = wire.sent_framing().ok_or_else(unknown)?;
                *self = Request::Body(framing.into());
                &bytes[end..]
            }
        };
        let Request::Body(body) = self else {
            return Ok(0);
        };
        Ok(body.count_all(rest)?.payload)
    }

    /// What leaves instead of these bytes, with which the request is over: the last chunk with its
    /// trailers, if it has any.
    pub(super) fn last_chunk(self, bytes: &[u8], wire: &Wire) -> Option<Vec<u8>> {
        match self {
            Request::Body(Body::Chunked(chunks)) if chunks.is_over() && bytes == LAST_CHUNK => wire
                .request_trailers()
                .map(|trailers| last_chunk(&trailers)),
            Request::Body(_) | Request::Head(_) => None,
        }
    }
}
