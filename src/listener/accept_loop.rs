//! What ends the loop that accepts at a socket, and what it has accepted.

use tokio_util::sync::CancellationToken;

/// The loop that accepts at a socket, if there is one: never two.
#[derive(Debug, Default)]
pub struct AcceptLoop {
    closing: CancellationToken,
    accepting: Option<CancellationToken>,
}

/// What a loop ends by.
#[derive(Debug)]
pub struct Ends {
    /// Accepts no more. What was accepted goes on.
    pub accepting: CancellationToken,
    /// Tells what was accepted to go.
    pub closing: CancellationToken,
}

impl AcceptLoop {
    /// No loop has begun yet. When `closing` is cancelled it ends, and what it has accepted is told
    /// to go.
    pub fn new(closing: CancellationToken) -> Self {
        AcceptLoop {
            closing,
            accepting: None,
        }
    }

    /// Has one begin; `None` while there is one.
    pub fn begin(&mut self) -> Option<Ends> {
        if self.accepting.is_some() {
            return None;
        }
        let accepting = self.closing.child_token();
        self.accepting = Some(accepting.clone());
        Some(Ends {
            accepting,
            closing: self.closing.clone(),
        })
    }

    /// Whether there is one that goes on.
    pub fn is_on(&self) -> bool {
        self.accepting.is_some() && !self.closing.is_cancelled()
    }

    /// Ends it. What it has accepted goes on, and another may begin.
    pub fn pause(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.cancel();
        }
    }

    /// Ends it for good, and tells what was accepted to go.
    pub fn close(&mut self) {
        self.closing.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_loop_at_most_and_a_pause_leaves_alone_what_was_accepted() {
        let mut accept_loop = AcceptLoop::default();
        let first = accept_loop.begin().unwrap();
        assert!(accept_loop.begin().is_none() && accept_loop.is_on());
        accept_loop.pause();
        assert!(!accept_loop.is_on());
        assert!(first.accepting.is_cancelled());
        assert!(!first.closing.is_cancelled());
        let second = accept_loop.begin().unwrap();
        assert!(!second.accepting.is_cancelled());
        accept_loop.close();
        assert!(!accept_loop.is_on());
        assert!(second.accepting.is_cancelled());
        assert!(first.closing.is_cancelled());
    }
}
