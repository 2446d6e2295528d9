//! What a connection to a target is for.

/// How much of an answer may be on its way to a client that does not take it, in bytes: over
/// HTTP/1.1, over HTTP/2.
const WINDOW: usize = 16 << 10;
const STREAM_WINDOW: usize = 4 << 10;

/// What a connection to a target is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A WebSocket's handshake: with a 101 the socket is handed over, where the tap of the client's
    /// side fetches it.
    Handshake,
    /// A plain request.
    Request,
    /// A plain request over HTTP/2, where one connection has many answers under way.
    Stream,
}

impl Purpose {
    /// How much of an answer may be on its way to a client that does not take it, in bytes.
    pub(super) fn window(self) -> usize {
        match self {
            Purpose::Handshake | Purpose::Request => WINDOW,
            Purpose::Stream => STREAM_WINDOW,
        }
    }
}
