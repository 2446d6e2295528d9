//! How far a connection has come, and how its client's side ended.

/// How far the connection has come with its present request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a request's head.
    Head,
    /// A plain request and its answer.
    Exchange,
    /// A WebSocket handshake that has no answer yet. What the client sends meanwhile stays in its
    /// socket.
    Handshake,
    /// After the 101.
    Tunnel,
}

impl Phase {
    /// The phase with this discriminant.
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Phase::Head,
            1 => Phase::Exchange,
            2 => Phase::Handshake,
            _ => Phase::Tunnel,
        }
    }
}

/// How the client's side of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientEnd {
    /// It has not ended.
    Open,
    /// The client sent its FIN.
    Closed,
    /// The connection broke.
    Broken,
    /// The client did not send its head in time.
    HeadExpired,
    /// The client's head has a request line that is none.
    HeadMalformed,
    /// The client's head has too many bytes.
    HeadTooLarge,
    /// The client's head has too many headers.
    TooManyHeaders,
    /// The handshake got no answer in time.
    HandshakeExpired,
    /// The client's body is not framed as it should be.
    BodyMalformed,
    /// The client sends its body too slowly.
    BodyLate,
    /// The client takes its answer too slowly.
    AnswerLate,
}

impl ClientEnd {
    /// The end with this discriminant.
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => ClientEnd::Open,
            1 => ClientEnd::Closed,
            2 => ClientEnd::Broken,
            3 => ClientEnd::HeadExpired,
            4 => ClientEnd::HeadMalformed,
            5 => ClientEnd::HeadTooLarge,
            6 => ClientEnd::TooManyHeaders,
            7 => ClientEnd::HandshakeExpired,
            8 => ClientEnd::BodyMalformed,
            9 => ClientEnd::BodyLate,
            _ => ClientEnd::AnswerLate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_as_a_number_comes_back() {
        for phase in [
            Phase::Head,
            Phase::Exchange,
            Phase::Handshake,
            Phase::Tunnel,
        ] {
            assert_eq!(Phase::of(phase as u8), phase);
        }
        for number in 0..=ClientEnd::AnswerLate as u8 {
            assert_eq!(ClientEnd::of(number) as u8, number);
        }
    }
}
