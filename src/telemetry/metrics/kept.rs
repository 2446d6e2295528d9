//! Counters that outlive a configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What is counted in one place for all who know its name, for as long as anybody does: a reload makes nothing twice.
pub(super) struct Kept<T>(Mutex<HashMap<String, Weak<T>>>);

impl<T> Kept<T> {
    pub(super) fn get(&self, name: String, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        kept.retain(|_, known| known.strong_count() > 0);
        let made = Arc::new(make());
        kept.insert(name, Arc::downgrade(&made));
        made
    }

    pub(super) fn names(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys().cloned().collect()
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}
