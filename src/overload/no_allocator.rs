//! Without an allocator of ours: what the system's keeps is its own matter.

/// Gives back what is free; tells whether that could be done.
pub(super) fn give_back() -> bool {
    false
}
