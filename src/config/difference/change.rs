//! One thing that is different, and how objects are gone through for such.

use std::collections::HashMap;
use std::fmt::{self, Debug};

use crate::target_address::TargetAddress;

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What, in words.
    pub what: String,
    /// Which open tunnels it is about.
    pub tunnels: Tunnels,
}

/// Which tunnels a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnels {
    /// None: they stay as they are.
    None,
    /// Those of this forwarding rule, whose listener is gone: they stay.
    Of(String),
    /// Those of a target group to a target: they end, in this way.
    To(String, TargetAddress, &'static str),
}

impl Change {
    pub(super) fn new(what: String) -> Self {
        let tunnels = Tunnels::None;
        Change { what, tunnels }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Goes through the objects by name: those of before first, then those that are new.
pub(super) fn each<T>(
    before: &[T],
    now: &[T],
    name: impl Fn(&T) -> String,
    mut tell: impl FnMut(&str, Option<&T>, Option<&T>),
) {
    let by_name = |all: &'_ [T]| -> HashMap<String, usize> {
        let places = all.iter().enumerate();
        places.map(|(place, one)| (name(one), place)).collect()
    };
    let (old, new) = (by_name(before), by_name(now));
    for one in before {
        let name = name(one);
        tell(&name, Some(one), new.get(&name).map(|place| &now[*place]));
    }
    for one in now {
        let name = name(one);
        if !old.contains_key(&name) {
            tell(&name, None, Some(one));
        }
    }
}

/// Tells which keys of an object are different, if any are.
pub(super) fn tell(object: &str, keys: &[(&str, bool)], changes: &mut Vec<Change>) {
    let different = keys.iter().filter(|(_, differs)| *differs);
    let different: Vec<&str> = different.map(|(key, _)| *key).collect();
    if !different.is_empty() {
        let keys = different.join(", ");
        changes.push(Change::new(format!("{object}: changed: {keys}")));
    }
}

/// Whether two values are shown differently.
pub(super) fn differ<T: Debug + ?Sized>(before: &T, now: &T) -> bool {
    format!("{before:?}") != format!("{now:?}")
}
