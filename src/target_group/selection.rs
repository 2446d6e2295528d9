//! Which targets are proposed, and in what order.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora::lb::Backend;
use pingora::lb::selection::algorithms;
use pingora::lb::selection::weighted::{Weighted, WeightedIterator};
use pingora::lb::selection::{BackendIter, BackendSelection};

/// In turn, in proportion to the weights: Pingora's weighted round robin over the targets that have a weight. It would
/// panic where none has.
pub(super) struct RoundRobin(Arc<Weighted<algorithms::RoundRobin>>);

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
    weighted: WeightedIterator<algorithms::RoundRobin>,
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
