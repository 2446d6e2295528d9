//! How much of the bodies on a connection of HTTP/2 is kept for another try.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much it may be, in bytes.
const MOST: usize = 256 << 10;

/// How much it is.
#[derive(Debug, Default)]
pub struct Kept(AtomicUsize);

impl Kept {
    /// So much more may be kept, or not.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let more = |kept| Some(kept + bytes).filter(|kept| *kept <= MOST);
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// So much is not kept any more.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}
