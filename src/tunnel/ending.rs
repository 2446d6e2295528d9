//! Why and how a tunnel ended.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::telemetry::CloseReason;

/// How a tunnel ended.
#[derive(Debug)]
pub struct Ending {
    /// Why; `None` where the relay was cut off from outside.
    pub reason: Option<CloseReason>,
    /// The code of the first Close frame in either direction, ours included.
    pub code: Option<u16>,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Frames from the client.
    pub frames_in: u64,
    /// Frames to the client.
    pub frames_out: u64,
    /// From the last byte in either direction to the end.
    pub since_activity: Duration,
    /// What broke.
    pub error: Option<String>,
}

impl Ending {
    /// A tunnel of which not even the 101 got through.
    pub fn unopened(reason: CloseReason, error: Option<String>) -> Self {
        Ending {
            reason: Some(reason),
            code: None,
            bytes_in: 0,
            bytes_out: 0,
            frames_in: 0,
            frames_out: 0,
            since_activity: Duration::ZERO,
            error,
        }
    }
}

/// What is known of why a tunnel ends. The first Close frame decides, then our own order, then the
/// first FIN or break.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Verdict {
    said_close: Option<CloseReason>,
    ordered: Option<CloseReason>,
    ended: Option<CloseReason>,
    code: Option<u16>,
    error: Option<String>,
}

impl Verdict {
    /// A side said Close. Its answer to ours does not count.
    pub(super) fn said_close(&mut self, reason: CloseReason, code: Option<u16>) {
        if self.said_close.is_none() && self.ordered.is_none() {
            self.said_close = Some(reason);
            self.code = code;
        }
    }

    /// We end it, by a Close frame with this code, if there is one.
    pub(super) fn order(&mut self, reason: CloseReason, code: Option<u16>) {
        self.ordered.get_or_insert(reason);
        if self.said_close.is_none() {
            self.code = code;
        }
    }

    /// A side sent its FIN.
    pub(super) fn ended(&mut self, reason: CloseReason) {
        self.ended.get_or_insert(reason);
    }

    /// A side's connection broke.
    pub(super) fn broke(&mut self, reason: CloseReason, error: &io::Error) {
        if self.ended.is_none() {
            let side = if reason == CloseReason::ClientError {
                "client"
            } else {
                "target"
            };
            self.ended = Some(reason);
            self.error = Some(format!("{side}: {error}"));
        }
    }

    /// Whether we are ending it.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Whether a side has ended, or broken off.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The reason, once the tunnel is over.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.said_close.or(self.ordered).or(self.ended)
    }

    /// The code of the first Close frame.
    pub(super) fn code(&self) -> Option<u16> {
        self.code
    }

    /// What broke.
    pub(super) fn error(&self) -> Option<String> {
        self.error.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::CloseReason::{ClientClosed, ClientError, IdleTimeout, TargetClosed};

    fn broken() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    #[test]
    fn the_first_close_frame_decides_then_our_order_then_the_first_end() {
        let mut verdict = Verdict::default();
        verdict.broke(ClientError, &broken());
        verdict.ended(TargetClosed);
        assert_eq!(
            (verdict.reason(), verdict.code()),
            (Some(ClientError), None)
        );
        assert_eq!(verdict.error().unwrap(), "client: connection reset");
        verdict.order(IdleTimeout, Some(1001));
        assert_eq!(
            (verdict.reason(), verdict.code()),
            (Some(IdleTimeout), Some(1001))
        );

        let mut verdict = Verdict::default();
        verdict.said_close(TargetClosed, Some(1000));
        verdict.said_close(ClientClosed, Some(1001));
        verdict.order(IdleTimeout, Some(1001));
        verdict.broke(ClientError, &broken());
        assert_eq!(
            (verdict.reason(), verdict.code()),
            (Some(TargetClosed), Some(1000))
        );
    }

    #[test]
    fn a_close_that_answers_ours_is_not_the_first() {
        let mut verdict = Verdict::default();
        verdict.order(IdleTimeout, Some(1001));
        verdict.said_close(ClientClosed, Some(1000));
        assert_eq!(
            (verdict.reason(), verdict.code()),
            (Some(IdleTimeout), Some(1001))
        );
    }
}
