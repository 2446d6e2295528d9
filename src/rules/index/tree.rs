//! Texts in order, each with what belongs to it: found are those with which another text begins.
//!
//! All texts with which one begins stand before it, and each of them begins with the shorter ones.
//! So one search finds the longest, and from there a link leads to the next. What all texts begin
//! with is looked at once, and the bytes behind it are compared as a number.

use std::collections::BTreeMap;

/// Texts, each with what belongs to it.
pub(super) type Texts<T> = BTreeMap<Box<[u8]>, Pair<T>>;

/// What belongs to texts.
#[derive(Debug)]
pub(super) struct Tree<T> {
    /// With what all of them begin.
    common: Box<[u8]>,
    entries: Box<[Entry<T>]>,
}

#[derive(Debug)]
struct Entry<T> {
    /// What follows after what all have in common.
    next: u64,
    text: Box<[u8]>,
    /// The longest other text with which this one begins.
    above: Option<usize>,
    value: Pair<T>,
}

/// What belongs to a text.
#[derive(Debug)]
pub(super) struct Pair<T> {
    /// For what is that text.
    pub(super) whole: Option<T>,
    /// For what begins with it.
    pub(super) start: Option<T>,
}

impl<T> Default for Pair<T> {
    fn default() -> Self {
        Pair {
            whole: None,
            start: None,
        }
    }
}

impl<T> Tree<T> {
    /// The tree of these texts.
    pub(super) fn build(texts: Texts<T>) -> Self {
        let common = common(&texts);
        let mut entries: Vec<Entry<T>> = Vec::with_capacity(texts.len());
        for (text, value) in texts {
            let mut above = entries.len().checked_sub(1);
            while let Some(place) = above.filter(|place| !text.starts_with(&entries[*place].text)) {
                above = entries[place].above;
            }
            let next = number(&text[common.len()..]);
            entries.push(Entry {
                next,
                text,
                above,
                value,
            });
        }
        Tree {
            common,
            entries: entries.into(),
        }
    }

    /// All that belongs to this text, and to the texts with which it begins.
    pub(super) fn each<'t>(&'t self, text: &[u8], mut visit: impl FnMut(&'t T)) {
        let Some(rest) = text.strip_prefix(&*self.common) else {
            return;
        };
        let next = number(rest);
        let is_not_after =
            |entry: &Entry<T>| entry.next < next || entry.next == next && *entry.text <= *text;
        let mut place = self.entries.partition_point(is_not_after);
        while let Some(entry) = place.checked_sub(1).map(|last| &self.entries[last]) {
            if text.starts_with(&entry.text) {
                let is_whole = text.len() == entry.text.len();
                entry
                    .value
                    .whole
                    .iter()
                    .filter(|_| is_whole)
                    .for_each(&mut visit);
                entry.value.start.iter().for_each(&mut visit);
            }
            place = entry.above.map_or(0, |above| above + 1);
        }
    }
}

/// With what all of these begin: what the first and the last have in common.
fn common<T>(texts: &Texts<T>) -> Box<[u8]> {
    let (Some((first, _)), Some((last, _))) = (texts.first_key_value(), texts.last_key_value())
    else {
        return Box::default();
    };
    let both = first
        .iter()
        .zip(last)
        .take_while(|(one, other)| one == other);
    first[..both.count()].into()
}

/// The first bytes as a number: it is never lower for what comes later in order.
fn number(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut bytes = [0; 8];
            bytes[..text.len()].copy_from_slice(text);
            u64::from_be_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(starts: &[&'static str], wholes: &[&'static str]) -> Tree<&'static str> {
        let mut texts = Texts::new();
        for text in starts {
            texts.entry(text.as_bytes().into()).or_default().start = Some(*text);
        }
        for text in wholes {
            texts.entry(text.as_bytes().into()).or_default().whole = Some("whole");
        }
        Tree::build(texts)
    }

    #[test]
    fn found_are_all_texts_with_which_one_begins_and_itself() {
        let tree = tree(
            &["a", "a/b", "a/b/d", "a0", "c", "\u{7f}"],
            &["a/b/c", "a", "b"],
        );
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["whole", "a"]),
            ("a/b/c", &["whole", "a/b", "a"]),
            ("a/b/c/", &["a/b", "a"]),
            ("a/b/d/e", &["a/b/d", "a/b", "a"]),
            ("a1", &["a"]),
            ("b", &["whole"]),
            ("bb", &[]),
            ("d", &[]),
        ] {
            let mut found = Vec::new();
            tree.each(text.as_bytes(), |value| found.push(*value));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn texts_with_much_in_common_are_told_apart() {
        let long = ["/common/and/long/a", "/common/and/long/b", "/common/and/"];
        let tree = tree(&long, &["/common/and/long/a\0"]);
        for (text, expected) in [
            ("/common/and/long/a", &[long[0], long[2]][..]),
            ("/common/and/long/a\0", &["whole", long[0], long[2]]),
            ("/common/and/long", &[long[2]]),
            ("/common/and", &[]),
            ("/other", &[]),
        ] {
            let mut found = Vec::new();
            tree.each(text.as_bytes(), |value| found.push(*value));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_empty_is_at_the_beginning_of_everything() {
        let mut found = 0;
        tree(&[""], &[]).each(b"a", |_| found += 1);
        tree(&[""], &[""]).each(b"", |_| found += 1);
        tree(&[], &[]).each(b"a", |_| found += 1);
        assert_eq!(found, 3);
    }
}
