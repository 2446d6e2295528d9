//! What one look at the memory says.

/// What is used of what may be, in bytes. A limit of 0 is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) used: u64,
    pub(super) limit: u64,
}

impl Reading {
    /// Whether so many hundredths of the limit are used.
    pub(super) fn is_used_to(self, hundredths: u64) -> bool {
        let used = u128::from(self.used) * 100;
        self.limit > 0 && used >= u128::from(self.limit) * u128::from(hundredths)
    }
}
