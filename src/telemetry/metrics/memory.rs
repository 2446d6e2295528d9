//! What is shown of the memory.

use prometheus::{IntCounter, IntGauge};

use super::families::Families;

/// What is shown of the memory, and of what is done about it.
#[derive(Debug, Clone)]
pub struct MemoryMetrics {
    /// What may be used, in bytes.
    pub limit: IntGauge,
    /// What is used of it.
    pub used: IntGauge,
    /// The number of the level.
    pub level: IntGauge,
    /// Plain requests and connections that were reset.
    pub resets: IntCounter,
}

impl MemoryMetrics {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(MemoryMetrics {
            limit: families.one_gauge("memory_limit_bytes", "Memory that may be used.")?,
            used: families.one_gauge("memory_used_bytes", "Memory that is used of the limit.")?,
            level: families.one_gauge(
                "memory_level",
                "What is done about the memory: 0 nothing, 1 new ones are refused, 2 idle ones \
                 go, 3 requests are reset.",
            )?,
            resets: families.one_counter(
                "memory_resets_total",
                "Requests and connections, no tunnels, that were reset because memory was short.",
            )?,
        })
    }
}
