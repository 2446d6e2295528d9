//! The levels: what is done at how much of the limit.
//!
//! A level that was entered is left a little further down, so that nothing swings to and fro at its
//! edge.

use super::reading::Reading;

/// What is done about the memory, each beside all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing: there is enough.
    Ample,
    /// No connection, stream or request is taken any more.
    Refusing,
    /// Idle connections are let go.
    Releasing,
    /// Plain requests are reset, those first that wait longest for their clients.
    Resetting,
}

/// By how many hundredths of the limit a level is left further down than it was entered.
const SLACK: u64 = 85 - Level::ENOUGH;

impl Level {
    /// Of the limit, in hundredths: from here on there is enough again.
    pub(super) const ENOUGH: u64 = 80;

    /// All of them, in the order of their numbers.
    pub const ALL: [Level; 4] = [
        Level::Ample,
        Level::Refusing,
        Level::Releasing,
        Level::Resetting,
    ];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Ample => "ample",
            Level::Refusing => "refusing",
            Level::Releasing => "releasing",
            Level::Resetting => "resetting",
        }
    }

    /// From how many hundredths of the limit on.
    fn begins_at(self) -> u64 {
        match self {
            Level::Ample => 0,
            Level::Refusing => 85,
            Level::Releasing => 90,
            Level::Resetting => 95,
        }
    }

    /// The level after this one, with what is used now.
    pub(super) fn after(self, reading: Reading) -> Level {
        let holds = |level: &Level| {
            let slack = if *level <= self { SLACK } else { 0 };
            reading.is_used_to(level.begins_at().saturating_sub(slack))
        };
        Level::ALL
            .into_iter()
            .rev()
            .find(holds)
            .unwrap_or(Level::Ample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_entered_at_its_mark_and_left_five_hundredths_below() {
        let mut level = Level::Ample;
        for (used, expected) in [
            (0, Level::Ample),
            (849, Level::Ample),
            (850, Level::Refusing),
            (801, Level::Refusing),
            (800, Level::Refusing),
            (799, Level::Ample),
            (849, Level::Ample),
            (910, Level::Releasing),
            (851, Level::Releasing),
            (849, Level::Refusing),
            (1500, Level::Resetting),
            (900, Level::Resetting),
            (899, Level::Releasing),
            (0, Level::Ample),
        ] {
            level = level.after(Reading { used, limit: 1000 });
            assert_eq!(level, expected, "{used}");
        }
    }

    #[test]
    fn where_nothing_is_known_nothing_is_done() {
        let unknown = Reading { used: 0, limit: 0 };
        assert_eq!(Level::Resetting.after(unknown), Level::Ample);
    }

    #[test]
    fn the_list_is_in_the_order_of_the_numbers() {
        for (number, level) in Level::ALL.iter().enumerate() {
            assert_eq!(*level as usize, number);
        }
    }
}
