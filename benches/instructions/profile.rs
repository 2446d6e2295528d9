//! What callgrind writes, read: how many instructions of whose code, and how many allocations.

use std::io;

use crate::owner::Owner;

/// What asks the allocator for memory, also for more of it.
const ALLOCATIONS: [&str; 5] = [
    "_rjem_malloc",
    "_rjem_mallocx",
    "_rjem_calloc",
    "_rjem_realloc",
    "_rjem_rallocx",
];

/// Counts.
#[derive(Default)]
pub(crate) struct Profile {
    /// Instructions, by owner.
    pub(crate) instructions: [f64; Owner::ALL.len()],
    /// How often memory was asked for.
    pub(crate) allocations: f64,
}

/// Where the reader is.
#[derive(Default)]
struct Place<'a> {
    object: &'a str,
    file: &'a str,
    function: &'a str,
    called: &'a str,
    /// Whether the next line is what a call has cost, which is counted where it was spent.
    is_call: bool,
}

impl Profile {
    /// Reads a file of callgrind's, with names and positions in full. Errors: it is none, or not
    /// whole.
    pub(crate) fn read(text: &str) -> io::Result<Self> {
        let mut profile = Profile::default();
        let mut place = Place::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some((key, value)) => profile.name(&mut place, key, value)?,
                None => profile.cost(&mut place, line)?,
            }
        }
        let total = number(
            text.lines()
                .rev()
                .find_map(|line| line.strip_prefix("totals: ")),
        )?;
        let sum = profile.total();
        if sum != total {
            return Err(io::Error::other(format!(
                "{sum} instructions of {total} were found"
            )));
        }
        Ok(profile)
    }

    /// All instructions.
    pub(crate) fn total(&self) -> f64 {
        self.instructions.iter().sum()
    }

    /// With another one, so many times.
    pub(crate) fn with(mut self, other: &Profile, times: f64) -> Self {
        for (count, more) in self.instructions.iter_mut().zip(other.instructions) {
            *count += more * times;
        }
        self.allocations += other.allocations * times;
        self
    }

    /// Without another one, so many times.
    pub(crate) fn without(self, other: &Profile, times: f64) -> Self {
        self.with(other, -times)
    }

    fn name<'a>(&mut self, place: &mut Place<'a>, key: &str, value: &'a str) -> io::Result<()> {
        match key {
            "ob" => place.object = value,
            "fl" | "fi" | "fe" => place.file = value,
            "fn" => place.function = value,
            "cfn" => place.called = value,
            "calls" => {
                place.is_call = true;
                if ALLOCATIONS.contains(&place.called) {
                    self.allocations += number(value.split(' ').next())?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn cost(&mut self, place: &mut Place<'_>, line: &str) -> io::Result<()> {
        if !line.starts_with(|c: char| c.is_ascii_digit()) || std::mem::take(&mut place.is_call) {
            return Ok(());
        }
        let owner = Owner::of(place.file, place.function, place.object);
        self.instructions[owner as usize] += number(line.split(' ').nth(1))?;
        Ok(())
    }
}

fn number(word: Option<&str>) -> io::Result<f64> {
    let number = word.and_then(|word| word.parse::<u32>().ok());
    number
        .map(f64::from)
        .ok_or_else(|| io::Error::other("a line of callgrind's that holds no number"))
}
