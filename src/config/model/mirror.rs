//! An entry of `mirrors`: where copies of requests go.

/// An entry of `mirrors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `targetGroup`: the name of one that exists.
    pub target_group: String,
    /// `percent` or `fraction`: of how many requests, as a share of `denominator`. Default: all.
    pub numerator: u32,
    /// Not 0, nor less than `numerator`.
    pub denominator: u32,
}
