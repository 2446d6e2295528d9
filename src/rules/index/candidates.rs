//! The rules that may fit a request: several lists of places in the order of evaluation, each
//! ascending. The first that fits is the lowest place of all.

/// How many lists are looked at together. Of those beyond, each is searched by itself.
const TOGETHER: usize = 16;

/// The lists that a request leads to.
pub(super) struct Candidates<'i, F> {
    /// What is left of each, none of them empty.
    lists: [&'i [usize]; TOGETHER],
    /// How many there are.
    count: usize,
    /// The first place that fits of the lists that had no room.
    best: Option<usize>,
    fits: F,
}

impl<'i, F: Fn(usize) -> bool> Candidates<'i, F> {
    /// None yet; `fits` says whether the rule at a place fits.
    pub(super) fn new(fits: F) -> Self {
        Candidates {
            lists: [&[]; TOGETHER],
            count: 0,
            best: None,
            fits,
        }
    }

    /// These too.
    pub(super) fn add(&mut self, places: &'i [usize]) {
        if places.is_empty() {
            return;
        }
        if let Some(room) = self.lists.get_mut(self.count) {
            *room = places;
            self.count += 1;
            return;
        }
        let limit = self.best.unwrap_or(usize::MAX);
        let mut earlier = places.iter().take_while(|place| **place < limit);
        let found = earlier.find(|place| (self.fits)(**place));
        self.best = found.copied().or(self.best);
    }

    /// The lowest place that fits.
    pub(super) fn first(mut self) -> Option<usize> {
        loop {
            let lists = &mut self.lists[..self.count];
            let lists = lists.iter_mut().filter(|list| !list.is_empty());
            let Some(list) = lists.min_by_key(|list| list[0]) else {
                return self.best;
            };
            let place = list[0];
            if self.best.is_some_and(|best| best < place) {
                return self.best;
            }
            if (self.fits)(place) {
                return Some(place);
            }
            *list = &list[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_is_found_in_however_many_lists() {
        for lists in [1, 2, TOGETHER, TOGETHER + 1, 3 * TOGETHER] {
            let all: Vec<Vec<usize>> = (0..lists)
                .map(|list| (list..100).step_by(lists).collect())
                .collect();
            for wanted in [0, 7, 57, 99] {
                let mut candidates = Candidates::new(|place| place >= wanted);
                all.iter().for_each(|list| candidates.add(list));
                assert_eq!(candidates.first(), Some(wanted), "{lists} lists");
            }
            let mut candidates = Candidates::new(|_| false);
            all.iter().for_each(|list| candidates.add(list));
            assert_eq!(candidates.first(), None);
        }
    }
}
