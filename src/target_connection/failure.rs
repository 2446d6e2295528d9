//! How a request to a target of HTTP/2 can fail, in the form that Pingora passes on: an
//! [`io::Error`], with what is behind it; and whether the target is to blame.

use std::fmt;
use std::io;

use h2::Reason;

/// What a peer says that finds fault with what it was sent, or with how much.
const COMPLAINTS: [Reason; 8] = [
    Reason::PROTOCOL_ERROR,
    Reason::FLOW_CONTROL_ERROR,
    Reason::SETTINGS_TIMEOUT,
    Reason::STREAM_CLOSED,
    Reason::FRAME_SIZE_ERROR,
    Reason::COMPRESSION_ERROR,
    Reason::ENHANCE_YOUR_CALM,
    Reason::HTTP_1_1_REQUIRED,
];
/// What we say to a target that breaks the rules of HTTP/2. All else that we say is about limits of
/// ours, or that we want no more.
const BREACHES: [Reason; 5] = [
    Reason::PROTOCOL_ERROR,
    Reason::FLOW_CONTROL_ERROR,
    Reason::STREAM_CLOSED,
    Reason::FRAME_SIZE_ERROR,
    Reason::COMPRESSION_ERROR,
];

/// The target says that it has not begun with a request (RFC 9113 section 8.7): it may be sent
/// again, whatever it asks for.
#[derive(Debug)]
pub struct Unprocessed(h2::Error);

impl fmt::Display for Unprocessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not processed by the target: {}", self.0)
    }
}

impl std::error::Error for Unprocessed {}

/// The target wants to be asked in HTTP/1.1 (RFC 9113 section 7).
#[derive(Debug)]
pub struct WantsHttp1 {
    /// It has said so of the connection, and not of this request alone.
    pub always: bool,
}

impl fmt::Display for WantsHttp1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the target wants to be asked in HTTP/1.1")
    }
}

impl std::error::Error for WantsHttp1 {}

/// What failed is of our making or of a client's, or nobody knows better.
#[derive(Debug)]
struct Blameless(h2::Error);

impl fmt::Display for Blameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Blameless {}

/// Whether the target is not to blame for what a request to it has failed of, as far as HTTP/2
/// tells.
pub fn is_blameless(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| {
        let unprocessed = cause.downcast_ref::<Unprocessed>();
        let is_complaint = unprocessed.is_some_and(|Unprocessed(cause)| !is_targets_fault(cause));
        is_complaint || cause.is::<Blameless>() || cause.is::<WantsHttp1>()
    })
}

/// A client may have caused what the target complains of, as it may that a limit of ours was
/// reached.
fn is_targets_fault(error: &h2::Error) -> bool {
    match error.reason() {
        Some(reason) if error.is_remote() => !COMPLAINTS.contains(&reason),
        Some(reason) => error.is_library() && BREACHES.contains(&reason),
        None => error.is_io(),
    }
}

/// What a request failed of that has been sent.
pub(crate) fn of_request(error: h2::Error) -> io::Error {
    // A GOAWAY reaches only the requests beyond the last that the target will answer.
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    match error.is_remote() {
        true if wants_http1(&error) => asking_http1(&error),
        true if is_refused || error.is_go_away() => unprocessed(error),
        _ => words(error),
    }
}

/// What a request failed of that has not: its connection is over, or it cannot be said in HTTP/2.
pub(crate) fn of_unsent(error: h2::Error) -> io::Error {
    match error.is_go_away() || error.is_reset() || error.is_io() {
        true if wants_http1(&error) => asking_http1(&error),
        true => unprocessed(error),
        false => words(error),
    }
}

fn wants_http1(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED)
}

fn asking_http1(error: &h2::Error) -> io::Error {
    let always = error.is_go_away();
    io::Error::new(io::ErrorKind::ConnectionReset, WantsHttp1 { always })
}

fn unprocessed(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, Unprocessed(error))
}

/// The system's error if there is one, else HTTP/2's.
pub(crate) fn words(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false if is_targets_fault(&error) => io::Error::other(error),
        false => io::Error::other(Blameless(error)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;

    /// A frame (RFC 9113 section 4.1).
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn reset(reason: Reason) -> Vec<u8> {
        frame(RST_STREAM, 0, 1, &u32::from(reason).to_be_bytes())
    }

    fn goaway(reason: Reason) -> Vec<u8> {
        let payload = [[0; 4], u32::from(reason).to_be_bytes()].concat();
        frame(GOAWAY, 0, 0, &payload)
    }

    async fn read_to_head(target: &mut DuplexStream) {
        target.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut head = [0; 9];
            target.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            target.read_exact(&mut vec![0; length]).await.unwrap();
            if head[3] == HEADERS {
                return;
            }
        }
    }

    /// What a request fails of whose target says this, and closes.
    async fn failure(said: &[u8]) -> io::Error {
        let (client, mut target) = tokio::io::duplex(1 << 16);
        let mut builder = h2::client::Builder::new();
        let begun = builder.max_header_list_size(100).handshake(client).await;
        let (mut sender, connection) = begun.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://a/").body(()).unwrap();
        let (answer, _): (_, h2::SendStream<Bytes>) = sender.send_request(request, true).unwrap();
        read_to_head(&mut target).await;
        let settings = frame(SETTINGS, 0, 0, &[]);
        target.write_all(&[&settings, said].concat()).await.unwrap();
        drop(target);
        of_request(answer.await.unwrap_err())
    }

    #[tokio::test]
    async fn a_target_is_blamed_for_what_it_has_done_itself() {
        // :status 200, and one field again and again (RFC 7541): more parts of a head than we put
        // together.
        let part = frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b");
        let endless = [frame(HEADERS, 0, 1, b"\x88"), part.repeat(100)].concat();
        for (said, is_blamed) in [
            (reset(Reason::INTERNAL_ERROR), true),
            (reset(Reason::CANCEL), true),
            (reset(Reason::REFUSED_STREAM), true),
            (goaway(Reason::NO_ERROR), true),
            (frame(DATA, 0, 1, b"no head"), true),
            (frame(HEADERS, 4, 1, b"\x80no HPACK"), true),
            (vec![], true),
            (reset(Reason::PROTOCOL_ERROR), false),
            (reset(Reason::ENHANCE_YOUR_CALM), false),
            (reset(Reason::HTTP_1_1_REQUIRED), false),
            (goaway(Reason::ENHANCE_YOUR_CALM), false),
            (goaway(Reason::HTTP_1_1_REQUIRED), false),
            (endless, false),
        ] {
            let error = failure(&said).await;
            assert_eq!(!is_blameless(&error), is_blamed, "{error}: {said:.20?}");
        }
    }

    #[tokio::test]
    async fn http_1_1_is_wanted_for_a_request_or_always() {
        for (said, expected) in [
            (reset(Reason::HTTP_1_1_REQUIRED), Some(false)),
            (goaway(Reason::HTTP_1_1_REQUIRED), Some(true)),
            (reset(Reason::CANCEL), None),
        ] {
            let error = failure(&said).await;
            let wish = error.get_ref().unwrap().downcast_ref::<WantsHttp1>();
            assert_eq!(wish.map(|wish| wish.always), expected, "{error}");
        }
    }
}
