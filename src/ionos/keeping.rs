//! Has what is written served and in the journal, or neither.

use super::error::ApiError;
use super::journal::Journal;
use super::path::ResourcePath;
use super::record::NotKept;
use super::serve::Serve;
use super::state::State;

/// Has a write on record in a journal.
pub(super) type KeepIn<'a> = &'a dyn Fn(&mut Journal) -> Result<(), NotKept>;

/// Has this served and on record, or neither.
pub(super) fn serve_and_keep(
    state: &mut State,
    about: &ResourcePath,
    serve: &dyn Serve,
    (journal, keep): (&mut Journal, KeepIn<'_>),
) -> Result<(), NotKept> {
    let length = journal.length();
    let mut keep = || match keep(journal) {
        Ok(()) => Ok(()),
        Err(NotKept::Refused(error)) => Err(error),
        Err(NotKept::Lost) => Err(ApiError::later("another node was first")),
    };
    let served = serve.serve(&state.objects, Some(about), &mut keep);
    if served.is_err() && journal.length() > length {
        // It was on record, and could not be served for all that. Where this fails the next does.
        journal.forget(length).ok();
    }
    state.warnings = served.map_err(NotKept::Refused)?;
    Ok(())
}

/// Writes a journal anew that has become long.
pub(super) fn tidy(journal: &mut Journal, state: &State) {
    if let Err(error) = journal.tidy(state) {
        // Nothing is lost: it only goes on being long.
        log::warn!("api.store: the journal cannot be written anew: {error}");
    }
}
