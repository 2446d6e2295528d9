//! The body of a request: what Pingora has written of it, and what the target takes.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use crate::stream::Wire;
use crate::tap::body::{Body, invalid};

/// Sends of the body what there is room for; of bytes that are framing alone, all. Returns how many
/// bytes were taken, and how much payload is in them.
///
/// Errors: they are more than the request.
pub(super) fn poll_send(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
    wire: &Wire,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<(usize, usize)>> {
    let mut after = *body;
    let all = after.count_all(bytes)?;
    let mut most = bytes.len();
    if all.payload > 0 {
        stream.reserve_capacity(all.payload);
        // It is polled for more alone; what is there already it does not tell.
        let room = match stream.capacity() {
            0 => ready!(stream.poll_capacity(cx)),
            room => Some(Ok(room)),
        };
        match room {
            Some(Ok(room)) => most = most.min(room),
            // The target wants no more of it. Its answer says why, or how it has failed.
            Some(Err(_)) | None => {
                *body = after;
                wire.upload.unmeter();
                return Poll::Ready(Ok((bytes.len(), 0)));
            }
        }
    }
    let mut part = bytes[..most].to_vec();
    let taken = body.take_payload(&mut part).map_err(invalid)?;
    part.truncate(taken.payload);
    send(stream, wire, part, body.is_over());
    Poll::Ready(Ok((most, taken.payload)))
}

/// Sends a part of the body, and with the last the trailers. A stream that is over takes nothing:
/// the answer says why.
fn send(stream: &mut SendStream<Bytes>, wire: &Wire, part: Vec<u8>, is_over: bool) {
    let trailers = is_over.then(|| wire.request_trailers()).flatten();
    let is_last = is_over && trailers.is_none();
    if !part.is_empty() || is_last {
        stream.send_data(part.into(), is_last).ok();
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).ok();
    }
}
