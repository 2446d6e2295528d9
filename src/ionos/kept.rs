//! What is kept, with what the configuration file has beside it.

use std::sync::Arc;

use super::file_objects::FileObjects;
use super::state::State;

/// What is kept, for whoever reads it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) state: Arc<State>,
    /// What of it is the configuration file's.
    pub(super) of_file: Arc<FileObjects>,
}

impl Kept {
    /// Has what the configuration file has among the objects.
    pub(super) fn take_file(&mut self, of_file: Arc<FileObjects>) {
        if Arc::ptr_eq(&self.of_file, &of_file) {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        let gone = self.of_file.iter().map(|(place, _)| (place.clone(), None));
        state.objects.apply(gone);
        let new = of_file
            .iter()
            .map(|(place, object)| (place.clone(), Some(Arc::clone(object))));
        state.objects.apply(new);
        self.of_file = of_file;
    }
}
