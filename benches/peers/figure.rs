//! What is measured, and what it should be.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::measure;
use crate::proxies::Proxy;

/// Until memory has been given back, and until what the last exchange left to do is done.
const MEMORY_SETTLES: Duration = Duration::from_secs(2);

/// A number that was measured.
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: String,
    /// The number.
    pub(crate) value: f64,
    /// What it should be, where that is said.
    pub(crate) goal: Option<Goal>,
}

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At most this.
    Most(f64),
    /// At most that of the best of the others.
    BestPeer,
}

/// The memory of a proxy, once it has settled.
pub(crate) fn memory_of(proxy: &Proxy) -> io::Result<f64> {
    sleep(MEMORY_SETTLES);
    measure::memory(&proxy.processes()?)
}
