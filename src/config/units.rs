//! How a file writes a length of time: an integer of milliseconds, or a string with units; and an
//! amount of memory: an integer of bytes, or a string with a unit.
//!
//! Every duration in the file is from 1 ms to 30 days: nothing here means "off" or "for ever" by a
//! special number, and adding one to the clock cannot overflow.

use std::time::Duration;

use serde_json::Value;

/// The shortest duration that a file may say.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest duration that a file may say.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a value is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotADuration {
    /// Neither an integer nor a number with a unit.
    Unreadable,
    /// Readable, but too short or too long.
    OutOfRange,
    /// Readable, but too long, or below 0.
    NotADelay,
}

impl NotADuration {
    /// What it must be instead, to follow the words "must be".
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "a duration, in milliseconds or with a unit (\"250ms\", \"90s\", \"1h 30m\")"
            }
            Self::OutOfRange => "a duration from 1 ms to 30 days",
            Self::NotADelay => "0, or a duration up to 30 days",
        }
    }
}

/// The duration that `value` stands for.
pub(super) fn duration(value: &Value) -> Result<Duration, NotADuration> {
    let duration = match value {
        Value::Number(number) if number.is_i64() => {
            // A negative number is as readable as zero, and as much too short.
            Duration::from_millis(number.as_u64().unwrap_or(0))
        }
        Value::Number(number) => {
            Duration::from_millis(number.as_u64().ok_or(NotADuration::Unreadable)?)
        }
        Value::String(text) => with_unit(text)?,
        _ => return Err(NotADuration::Unreadable),
    };
    if (SHORTEST..=LONGEST).contains(&duration) {
        Ok(duration)
    } else {
        Err(NotADuration::OutOfRange)
    }
}

/// The delay that `value` stands for: a duration, or 0.
pub(super) fn delay(value: &Value) -> Result<Duration, NotADuration> {
    let is_zero = match value {
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => with_unit(text)?.is_zero(),
        _ => false,
    };
    if is_zero {
        return Ok(Duration::ZERO);
    }
    duration(value).map_err(|reason| match reason {
        NotADuration::OutOfRange => NotADuration::NotADelay,
        reason => reason,
    })
}

fn with_unit(text: &str) -> Result<Duration, NotADuration> {
    use humantime::DurationError::NumberOverflow;
    humantime::parse_duration(text).map_err(|error| match error {
        NumberOverflow => NotADuration::OutOfRange,
        _ => NotADuration::Unreadable,
    })
}

/// The least memory that a file may speak of, and the most.
const SMALLEST: u64 = 1 << 20;
const LARGEST: u64 = 16 << 40;
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Why a value is no amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotMemory {
    /// Neither an integer nor one with a unit.
    Unreadable,
    /// Readable, but too little or too much.
    OutOfRange,
}

impl NotMemory {
    /// What it must be instead, to follow the words "must be".
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "an amount of memory, in bytes or with a unit (\"256MiB\", \"2GB\")"
            }
            Self::OutOfRange => "from 1 MiB to 16 TiB",
        }
    }
}

/// The bytes that `value` stands for.
pub(super) fn memory(value: &Value) -> Result<u64, NotMemory> {
    let bytes = match value {
        // A negative number is as readable as zero, and as much too little.
        Value::Number(number) if number.is_i64() => number.as_u64().unwrap_or(0),
        Value::Number(number) => number.as_u64().ok_or(NotMemory::Unreadable)?,
        Value::String(text) => with_unit_of_memory(text)?,
        _ => return Err(NotMemory::Unreadable),
    };
    let is_in_range = (SMALLEST..=LARGEST).contains(&bytes);
    is_in_range.then_some(bytes).ok_or(NotMemory::OutOfRange)
}

fn with_unit_of_memory(text: &str) -> Result<u64, NotMemory> {
    let split = |(unit, size): &(&str, u64)| Some((text.strip_suffix(unit)?.trim_end(), *size));
    let (number, size) = UNITS.iter().find_map(split).ok_or(NotMemory::Unreadable)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(NotMemory::Unreadable);
    }
    let number = number.parse::<u64>().map_err(|_| NotMemory::OutOfRange)?;
    number.checked_mul(size).ok_or(NotMemory::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_duration_is_milliseconds_or_has_a_unit() {
        let table = [
            (json!(1), Duration::from_millis(1)),
            (json!(50000), Duration::from_secs(50)),
            (json!("250ms"), Duration::from_millis(250)),
            (json!("90s"), Duration::from_secs(90)),
            (json!("5m"), Duration::from_secs(300)),
            (json!("1h 30m"), Duration::from_secs(5400)),
            (json!("1h30m"), Duration::from_secs(5400)),
            (json!("30days"), LONGEST),
        ];
        for (value, expected) in table {
            assert_eq!(duration(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use NotADuration::{OutOfRange, Unreadable};
        let table = [
            (json!(0), OutOfRange),
            (json!(-1), OutOfRange),
            (json!(i64::MIN), OutOfRange),
            (json!(u64::MAX), OutOfRange),
            (json!(2_592_000_001_u64), OutOfRange),
            (json!("0"), OutOfRange),
            (json!("999us"), OutOfRange),
            (json!("31 days"), OutOfRange),
            (json!("99999999999999999999s"), OutOfRange),
            (json!(1.5), Unreadable),
            (json!(1e300), Unreadable),
            (json!(""), Unreadable),
            (json!("90"), Unreadable),
            (json!("-1s"), Unreadable),
            (json!("soon"), Unreadable),
            (json!(true), Unreadable),
            (json!([1]), Unreadable),
            (json!({"s": 1}), Unreadable),
            (json!(null), Unreadable),
        ];
        for (value, expected) in table {
            assert_eq!(duration(&value), Err(expected), "{value}");
        }
    }

    #[test]
    fn memory_is_bytes_or_has_a_unit() {
        use NotMemory::{OutOfRange, Unreadable};
        let table = [
            (json!(1_048_576), Ok(SMALLEST)),
            (json!("1MiB"), Ok(SMALLEST)),
            (json!("1024 KiB"), Ok(SMALLEST)),
            (json!("1048576B"), Ok(SMALLEST)),
            (json!("2GiB"), Ok(2 << 30)),
            (json!("2GB"), Ok(2_000_000_000)),
            (json!("500000kB"), Ok(500_000_000)),
            (json!("300MB"), Ok(300_000_000)),
            (json!("1TB"), Ok(1_000_000_000_000)),
            (json!("16TiB"), Ok(LARGEST)),
            (json!(0), Err(OutOfRange)),
            (json!(-1), Err(OutOfRange)),
            (json!(u64::MAX), Err(OutOfRange)),
            (json!("1023KiB"), Err(OutOfRange)),
            (json!("17TiB"), Err(OutOfRange)),
            (json!("99999999999999999999B"), Err(OutOfRange)),
            (json!("99999999999TiB"), Err(OutOfRange)),
            (json!("256"), Err(Unreadable)),
            (json!("256M"), Err(Unreadable)),
            (json!("256mib"), Err(Unreadable)),
            (json!("-1GB"), Err(Unreadable)),
            (json!("1.5GB"), Err(Unreadable)),
            (json!("GB"), Err(Unreadable)),
            (json!("90%"), Err(Unreadable)),
            (json!(1e9), Err(Unreadable)),
            (json!(null), Err(Unreadable)),
        ];
        for (value, expected) in table {
            assert_eq!(memory(&value), expected, "{value}");
        }
    }
}
