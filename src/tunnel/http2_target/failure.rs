//! How a request to a target of HTTP/2 can fail, in the form that Pingora passes on: an [`io::Error`], with what is behind it.

use std::fmt;
use std::io;

use h2::Reason;

/// The target says that it has not begun with a request (RFC 9113 section 8.7): it may be sent again, whatever it asks for.
#[derive(Debug)]
pub struct Unprocessed(pub(crate) String);

impl fmt::Display for Unprocessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not processed by the target: {}", self.0)
    }
}

impl std::error::Error for Unprocessed {}

/// The target wants to be asked in HTTP/1.1 (RFC 9113 section 7).
#[derive(Debug)]
pub struct WantsHttp1;

impl fmt::Display for WantsHttp1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the target wants to be asked in HTTP/1.1")
    }
}

impl std::error::Error for WantsHttp1 {}

/// What a request failed of that has been sent.
pub(super) fn of_request(error: h2::Error) -> io::Error {
    // A GOAWAY reaches only the requests beyond the last that the target will answer.
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    match error.is_remote() {
        true if is_refused || error.is_go_away() => unprocessed(error),
        true if error.reason() == Some(Reason::HTTP_1_1_REQUIRED) => {
            io::Error::new(io::ErrorKind::ConnectionReset, WantsHttp1)
        }
        _ => words(error),
    }
}

/// What a request failed of that has not: its connection is over, or it cannot be said in HTTP/2.
pub(super) fn of_unsent(error: h2::Error) -> io::Error {
    match error.is_go_away() || error.is_reset() || error.is_io() {
        true => unprocessed(error),
        false => words(error),
    }
}

fn unprocessed(error: h2::Error) -> io::Error {
    let kind = io::ErrorKind::ConnectionReset;
    io::Error::new(kind, Unprocessed(error.to_string()))
}

/// The system's error if there is one, else HTTP/2's.
pub(super) fn words(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false => io::Error::other(error),
    }
}
