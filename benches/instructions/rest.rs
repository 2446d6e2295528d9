//! When a process has nothing left to do: all its threads wait for something.
//!
//! Both ends speak only then. So the proxy meets the same words in the same order every time,
//! however busy the machine is, and what it executes for them comes out the same.

use std::fs;
use std::io;
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// A process that is busy for longer than this does not come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Rest {
    process: u32,
}

impl Rest {
    /// Of this process.
    pub(crate) fn of(process: u32) -> Self {
        Rest { process }
    }

    /// Waits until no thread runs or wants to: all sleep in two looks, and none has run in between.
    pub(crate) fn wait(self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        while Instant::now() < deadline {
            let now = self.look()?;
            if now.is_some() && now == before {
                return Ok(());
            }
            before = now;
            yield_now();
        }
        Err(io::Error::other("the proxy does not come to rest"))
    }

    /// How often its threads have gone to sleep so far. `None` if one of them does not sleep.
    fn look(self) -> io::Result<Option<u64>> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.process))? {
            // A thread may end meanwhile.
            let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
                return Ok(None);
            };
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.map_or("", str::trim)
            };
            if !field("State:").starts_with('S') {
                return Ok(None);
            }
            let switches = field("voluntary_ctxt_switches:").parse::<u64>();
            total += switches.map_err(io::Error::other)?;
        }
        Ok(Some(total))
    }
}
