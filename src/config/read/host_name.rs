//! What this machine is called.

use std::fs;

const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The name of this machine; empty where it has none.
pub(super) fn read() -> String {
    let name = fs::read_to_string(HOST_NAME).unwrap_or_default();
    name.trim().to_owned()
}
