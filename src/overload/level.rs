//! The levels: what is done at how much of the limit.
//!
//! A level that was entered is left a little further down, so that nothing swings to and fro at its edge.

use super::usage::Reading;

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
const SLACK: u64 = 90 - Level::ENOUGH;

impl Level {
    /// Of the limit, in hundredths: from here on there is enough again.
    pub(super) const ENOUGH: u64 = 85;

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
            Level::Refusing => 90,
            Level::Releasing => 95,
            Level::Resetting => 100,
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
            (899, Level::Ample),
            (900, Level::Refusing),
            (851, Level::Refusing),
            (850, Level::Refusing),
            (849, Level::Ample),
            (899, Level::Ample),
            (960, Level::Releasing),
            (901, Level::Releasing),
            (899, Level::Refusing),
            (1500, Level::Resetting),
            (950, Level::Resetting),
            (949, Level::Releasing),
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
