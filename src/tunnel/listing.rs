//! The open tunnels in the order in which they were opened, a page at a time.
//!
//! Every tunnel has a number, and each shard holds its own in order, so a page is a merge of the
//! shards. A lock is held for a few tunnels at a time, and no more are copied than a page needs,
//! however many there are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::handle::Handle;
use super::registry::Tunnels;
use super::shards::SHARDS;

/// How many tunnels are looked at, and how many are copied, while a lock is held.
const LOOKS: usize = 256;
const COPIES: usize = 16;

/// Some of the open tunnels, the oldest first.
#[derive(Debug)]
pub struct Page {
    /// Not more than were asked for.
    pub tunnels: Vec<Arc<Handle>>,
    /// After which number the next page begins; `None` where this is the last.
    pub next: Option<u64>,
}

impl Tunnels {
    /// How many are open now.
    pub fn count(&self) -> usize {
        (0..SHARDS as u64)
            .map(|number| self.shard(number).len())
            .sum()
    }

    /// At most `limit` of those of which this is true, and which have a number after this one.
    pub fn page(
        &self,
        after: Option<u64>,
        limit: usize,
        is_wanted: impl Fn(&Handle) -> bool,
    ) -> Page {
        let mut merge = Merge::begin(self, after, is_wanted);
        let mut tunnels = Vec::new();
        let mut last = None;
        while let Some((number, tunnel)) = merge.next() {
            if tunnels.len() == limit {
                return Page {
                    tunnels,
                    next: last,
                };
            }
            tunnels.push(tunnel);
            last = Some(number);
        }
        let next = None;
        Page { tunnels, next }
    }

    /// Shows all of which this is true, in no order; what opens meanwhile may be left out.
    pub fn for_each(
        &self,
        is_wanted: impl Fn(&Handle) -> bool,
        mut show: impl FnMut(&Arc<Handle>),
    ) {
        for number in 0..SHARDS as u64 {
            let mut shard = Shard::new(number, None);
            while shard.refill(self, &is_wanted) {
                shard.ready.drain(..).for_each(|(_, tunnel)| show(&tunnel));
            }
        }
    }
}

/// A shard, and how far it has been read.
struct Shard {
    number: u64,
    after: Option<u64>,
    is_over: bool,
    ready: VecDeque<(u64, Arc<Handle>)>,
}

impl Shard {
    fn new(number: u64, after: Option<u64>) -> Self {
        Shard {
            number,
            after,
            is_over: false,
            ready: VecDeque::new(),
        }
    }

    /// Copies a few of those that are wanted; false if there are no more.
    fn refill(&mut self, tunnels: &Tunnels, is_wanted: impl Fn(&Handle) -> bool) -> bool {
        while self.ready.is_empty() && !self.is_over {
            let shard = tunnels.shard(self.number);
            let from = self.after.map_or(Unbounded, Excluded);
            let mut rest = shard.range((from, Unbounded)).take(LOOKS);
            self.is_over = true;
            for (number, tunnel) in rest.by_ref() {
                self.is_over = false;
                self.after = Some(*number);
                if is_wanted(tunnel) {
                    self.ready.push_back((*number, Arc::clone(tunnel)));
                }
                if self.ready.len() == COPIES {
                    break;
                }
            }
        }
        !self.ready.is_empty()
    }
}

/// All shards, merged.
struct Merge<'a, F> {
    tunnels: &'a Tunnels,
    is_wanted: F,
    shards: Vec<Shard>,
    /// The next number of each shard that has one, and its place.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'a, F: Fn(&Handle) -> bool> Merge<'a, F> {
    fn begin(tunnels: &'a Tunnels, after: Option<u64>, is_wanted: F) -> Self {
        let mut merge = Merge {
            tunnels,
            is_wanted,
            shards: (0..SHARDS as u64)
                .map(|number| Shard::new(number, after))
                .collect(),
            heads: BinaryHeap::new(),
        };
        for place in 0..SHARDS {
            merge.advance(place);
        }
        merge
    }

    fn advance(&mut self, place: usize) {
        let shard = &mut self.shards[place];
        shard.refill(self.tunnels, &self.is_wanted);
        let head = shard.ready.front();
        self.heads
            .extend(head.map(|(number, _)| Reverse((*number, place))));
    }

    fn next(&mut self) -> Option<(u64, Arc<Handle>)> {
        let Reverse((_, place)) = self.heads.pop()?;
        let next = self.shards[place].ready.pop_front();
        self.advance(place);
        next
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::super::handle::tests::handle_of;
    use super::super::shards::Entry;
    use super::*;

    fn opened(count: usize) -> (Arc<Tunnels>, Vec<Entry>) {
        let tunnels = Arc::new(Tunnels::new(TaskTracker::new()));
        let open = |number: usize| tunnels.open(&Arc::new(handle_of(&number.to_string())));
        let entries = (0..count).map(open).collect();
        (tunnels, entries)
    }

    fn numbers(page: &Page) -> Vec<usize> {
        let ids = page.tunnels.iter().map(|tunnel| tunnel.identity.id.parse());
        ids.map(Result::unwrap).collect()
    }

    #[test]
    fn pages_show_every_tunnel_once_in_the_order_of_their_opening() {
        let (tunnels, mut entries) = opened(5000);
        // Some have ended.
        let mut number = 0;
        entries.retain(|_| {
            number += 1;
            number % 3 > 0
        });
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = tunnels.page(after, 70, |_| true);
            assert!(page.tunnels.len() <= 70);
            seen.extend(numbers(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<usize> = (0..5000).filter(|number| (number + 1) % 3 > 0).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_ends_or_opens_between_two_pages_moves_no_other() {
        let (tunnels, mut entries) = opened(300);
        let first = tunnels.page(None, 100, |_| true);
        entries.drain(50..150);
        let late = tunnels.open(&Arc::new(handle_of("300")));
        let second = tunnels.page(first.next, 100, |_| true);
        assert_eq!(numbers(&second), (150..250).collect::<Vec<_>>());
        let third = tunnels.page(second.next, 100, |_| true);
        assert_eq!(numbers(&third), (250..=300).collect::<Vec<_>>());
        assert!(third.next.is_none());
        drop(late);
    }

    #[test]
    fn only_what_is_wanted_is_shown_and_a_full_page_without_more_is_the_last() {
        let (tunnels, _entries) = opened(40_000);
        let is_wanted = |tunnel: &Handle| tunnel.identity.id.ends_with("999");
        let page = tunnels.page(None, 40, is_wanted);
        assert_eq!((page.tunnels.len(), page.next), (40, None));
        let mut shown = 0;
        tunnels.for_each(is_wanted, |_| shown += 1);
        assert_eq!((shown, tunnels.count()), (40, 40_000));
    }
}
