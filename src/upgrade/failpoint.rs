//! In builds for debugging, where the environment asks for it: the process is killed at a point of
//! the protocol, or does as if it did not know it, or had room for all.

/// The point at which it is killed, or what it does not know.
#[cfg(debug_assertions)]
const VARIABLE: &str = "CULVERT_FAILPOINT";

/// Whether this one is asked for.
pub(super) fn is_set(name: &str) -> bool {
    #[cfg(debug_assertions)]
    return std::env::var_os(VARIABLE).is_some_and(|set| set == *name);
    #[cfg(not(debug_assertions))]
    return name.is_empty();
}

/// Ends here, if this one is asked for.
pub(super) fn pass(name: &str) {
    if is_set(name) {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .ok();
    }
}
