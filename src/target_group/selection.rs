//! Which targets are proposed, and in what order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pingora::lb::Backend;
use pingora::lb::selection::weighted::{Weighted, WeightedIterator};
use pingora::lb::selection::{BackendIter, BackendSelection, SelectionAlgorithm};

/// Takes a turn.
pub(super) const TAKE: &[u8] = b"";
/// Looks whose turn it is.
pub(super) const LOOK: &[u8] = b"look";

/// Whose turn it is.
pub(super) struct Turn(AtomicU64);

impl SelectionAlgorithm for Turn {
    fn new() -> Self {
        Turn(AtomicU64::new(0))
    }

    fn next(&self, key: &[u8]) -> u64 {
        match key == LOOK {
            true => self.0.load(Relaxed),
            false => self.0.fetch_add(1, Relaxed),
        }
    }
}

/// In turn, in proportion to the weights: Pingora's weighted round robin over the targets that have a weight. It would
/// panic where none has.
pub(super) struct RoundRobin(Arc<Weighted<Turn>>);

impl BackendSelection for RoundRobin {
    type Iter = Proposal;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let weighted = backends
            .iter()
            .filter(|backend| backend.weight > 0)
            .cloned()
            .collect();
        RoundRobin(Arc::new(Weighted::build(&weighted)))
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Self::Iter {
        Proposal {
            weighted: self.0.iter(key),
            is_made: false,
        }
    }
}

/// The one target whose turn it is. What the library would propose next disregards the weights, and moves the turn of
/// the next request.
pub(super) struct Proposal {
    weighted: WeightedIterator<Turn>,
    is_made: bool,
}

impl BackendIter for Proposal {
    fn next(&mut self) -> Option<&Backend> {
        if std::mem::replace(&mut self.is_made, true) {
            return None;
        }
        self.weighted.next()
    }
}
