//! The allocator: what it keeps for half a second, in case it is needed again, can be given back at
//! once.

use tikv_jemalloc_ctl::{Access as _, AsName as _, arenas};

/// Gives back what is free; tells whether that could be done.
pub(super) fn give_back() -> bool {
    let Ok(arenas) = arenas::narenas::read() else {
        return false;
    };
    // One that is not in use yet is an error, and has nothing to give.
    (0..arenas).filter(|arena| empty(*arena).is_ok()).count() > 0
}

/// Pages that are free may be kept for no time, and then for as long as before: with the first word
/// they go.
fn empty(arena: u32) -> tikv_jemalloc_ctl::Result<()> {
    let key = format!("arena.{arena}.dirty_decay_ms\0");
    let millis: isize = key.name().read()?;
    key.name().write(0_isize)?;
    key.name().write(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_pages_are_kept_for_as_long_as_before() {
        let millis = || -> isize { "arena.0.dirty_decay_ms\0".name().read().unwrap() };
        let before = millis();
        assert!(give_back());
        assert_eq!((millis(), before), (before, 500));
    }
}
