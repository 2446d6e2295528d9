//! The fields of HTTP/2's header blocks, as far as it takes to see that one is malformed (RFC 9113
//! section 8).
//!
//! h2 ends a whole connection for most of these, with all tunnels on it. Here a block is read
//! before h2 reads it, and one that is malformed becomes another of the same effect on h2's table
//! (RFC 7541 section 2.3.2), which h2 resets just its stream for. Values are not kept: what is
//! known of an entry of the table is what its name is, how long it is, and whether it is sound.

use std::collections::VecDeque;

use super::huffman;
use super::name::Name;

/// How large the table may be: we ask for no other size.
const MOST_TABLE: usize = 4096;
/// What an entry counts more than its text (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;
/// `te: x`, at which h2 takes a block for malformed.
const MALFORMED: &[u8] = b"\x00\x02te\x01x";
/// How long the names in the static table are, the first of which has the index 1 (RFC 7541
/// appendix A).
const STATIC_LENGTHS: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10,
    25, 17, 10, 4, 3, 16,
];

/// An entry of the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    is_sound: bool,
    name_length: u16,
    value_length: u16,
}

impl Entry {
    fn size(self) -> usize {
        OVERHEAD + usize::from(self.name_length) + usize::from(self.value_length)
    }
}

/// The table of a connection.
#[derive(Debug)]
pub(super) struct Fields {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

/// What a block is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Sound,
    /// What is wrong, and what h2 is to read instead.
    Malformed(&'static str, Vec<u8>),
    /// It cannot be read, which ends the connection.
    Unreadable,
}

impl Fields {
    pub(super) fn new() -> Self {
        Fields {
            entries: VecDeque::new(),
            size: 0,
            most: MOST_TABLE,
        }
    }

    /// Reads the next block: of a request's head, or of its trailers.
    pub(super) fn read(&mut self, block: &[u8], is_trailers: bool) -> Block {
        let mut reading = Reading {
            fields: self,
            rest: block,
            name: Vec::new(),
            value: Vec::new(),
            is_trailers,
            pseudo: 0,
            is_past_pseudo: false,
            fault: None,
            kept: Vec::new(),
        };
        match (reading.all(), reading.fault) {
            (None, _) => Block::Unreadable,
            (Some(()), None) => Block::Sound,
            (Some(()), Some(fault)) => {
                let mut kept = reading.kept;
                kept.extend_from_slice(MALFORMED);
                Block::Malformed(fault, kept)
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(self.most.saturating_sub(entry.size()));
        if entry.size() <= self.most {
            self.size += entry.size();
            self.entries.push_front(entry);
        }
    }

    fn evict(&mut self, to: usize) {
        while self.size > to
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size();
        }
    }
}

/// One block while it is read.
struct Reading<'a> {
    fields: &'a mut Fields,
    rest: &'a [u8],
    /// Literals, as they are without a code.
    name: Vec<u8>,
    value: Vec<u8>,
    is_trailers: bool,
    /// Which pseudo-headers there were, each as a bit.
    pseudo: u16,
    is_past_pseudo: bool,
    fault: Option<&'static str>,
    /// What has an effect on the table, as h2 may read it.
    kept: Vec<u8>,
}

impl Reading<'_> {
    /// `None` where the block cannot be read.
    fn all(&mut self) -> Option<()> {
        let mut may_resize = true;
        while let Some(first) = self.rest.first() {
            match first {
                0x80.. => self.indexed()?,
                0x40.. => self.literal(6)?,
                0x20.. => {
                    self.resize().filter(|()| may_resize)?;
                    continue;
                }
                _ => self.literal(4)?,
            }
            may_resize = false;
        }
        if !self.is_trailers && self.pseudo & 1_u16 << Name::Method as u8 == 0 {
            self.fault.get_or_insert("it has no :method");
        }
        Some(())
    }

    fn resize(&mut self) -> Option<()> {
        let before = self.rest;
        let most = number(&mut self.rest, 5).filter(|most| *most <= MOST_TABLE)?;
        self.kept.extend_from_slice(read_of(before, self.rest));
        self.fields.most = most;
        self.fields.evict(most);
        Some(())
    }

    /// It has no effect on the table.
    fn indexed(&mut self) -> Option<()> {
        let index = number(&mut self.rest, 7)?;
        if let Some(place) = index.checked_sub(1 + STATIC_LENGTHS.len()) {
            let entry = *self.fields.entries.get(place)?;
            self.note(entry.name, entry.is_sound);
            return Some(());
        }
        index.checked_sub(1)?;
        let name = Name::of_static(index);
        let is_sound = !matches!(name, Name::Status | Name::OfConnection);
        self.note(name, is_sound);
        Some(())
    }

    fn literal(&mut self, prefix: u8) -> Option<()> {
        let before = self.rest;
        let index = number(&mut self.rest, prefix)?;
        let (mut name, name_length) = self.name(index)?;
        let name_as_sent = read_of(before, self.rest);
        self.value.clear();
        string(&mut self.rest, &mut self.value)?;
        let is_sound = name.suits(&self.value);
        self.note(name, is_sound);
        if prefix == 4 {
            return Some(());
        }
        let value_length = self.value.len();
        match (is_sound, name) {
            (true, _) => self.kept.extend_from_slice(read_of(before, self.rest)),
            (false, Name::Malformed | Name::Method | Name::Status) => {
                name = Name::Malformed;
                let name_length = name_length.max(1);
                self.kept.push(0x40);
                put_filling(&mut self.kept, name_length);
                put_filling(&mut self.kept, value_length);
            }
            (false, _) => {
                self.kept.extend_from_slice(name_as_sent);
                put_filling(&mut self.kept, value_length);
            }
        }
        let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        self.fields.insert(Entry {
            name,
            is_sound,
            name_length: length(name_length),
            value_length: length(value_length),
        });
        Some(())
    }

    /// The name with this index, or the one that follows, and its length.
    fn name(&mut self, index: usize) -> Option<(Name, usize)> {
        if index == 0 {
            self.name.clear();
            string(&mut self.rest, &mut self.name)?;
            return Some((Name::of(&self.name), self.name.len()));
        }
        if let Some(length) = STATIC_LENGTHS.get(index - 1) {
            return Some((Name::of_static(index), usize::from(*length)));
        }
        let place = index - 1 - STATIC_LENGTHS.len();
        let entry = self.fields.entries.get(place)?;
        Some((entry.name, entry.name_length.into()))
    }

    fn note(&mut self, name: Name, is_sound: bool) {
        let is_pseudo = name.is_pseudo();
        let bit = 1_u16 << name as u8;
        let fault = match name {
            Name::Malformed => Some("the name of a field is malformed"),
            Name::OfConnection => Some("a field is about the connection"),
            Name::Status => Some("it has a :status"),
            _ if !is_sound => Some("the value of a field is malformed"),
            _ if is_pseudo && self.is_trailers => Some("a pseudo-header is among the trailers"),
            _ if is_pseudo && self.is_past_pseudo => Some("a pseudo-header comes after others"),
            _ if is_pseudo && self.pseudo & bit != 0 => Some("a pseudo-header is repeated"),
            _ => None,
        };
        match is_pseudo {
            true => self.pseudo |= bit,
            false => self.is_past_pseudo = true,
        }
        self.fault = self.fault.or(fault);
    }
}

/// What was read between two moments.
fn read_of<'a>(before: &'a [u8], after: &[u8]) -> &'a [u8] {
    &before[..before.len() - after.len()]
}

/// Takes a number whose first byte has so many bits of it (RFC 7541 section 5.1); h2 reads none
/// that is longer.
fn number(rest: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, mut left) = rest.split_first()?;
    let mask = (1 << prefix) - 1;
    let mut number = usize::from(first & mask);
    if number == usize::from(mask) {
        for shift in [0, 7, 14, 21, 28] {
            let (byte, after) = left.split_first().filter(|_| shift < 28)?;
            left = after;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = left;
    Some(number)
}

/// Takes a string (section 5.2), and appends it as it is without a code.
fn string(rest: &mut &[u8], text: &mut Vec<u8>) -> Option<()> {
    let is_coded = rest.first()? & 0x80 != 0;
    let length = number(rest, 7)?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    if is_coded {
        return huffman::decode(string, text);
    }
    text.extend_from_slice(string);
    Some(())
}

/// Appends a string of this length.
fn put_filling(block: &mut Vec<u8>, length: usize) {
    const MOST: usize = 0x7f;
    match length {
        0..MOST => block.push(length as u8),
        _ => {
            block.push(MOST as u8);
            let mut left = length - MOST;
            while left >= 0x80 {
                block.push(left as u8 | 0x80);
                left >>= 7;
            }
            block.push(left as u8);
        }
    }
    block.resize(block.len() + length, b'x');
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"\x82\x86\x84\x01\x01a";

    /// What becomes of a GET with these fields besides.
    fn read(fields: &mut Fields, more: &[u8]) -> Block {
        fields.read(&[GET, more].concat(), false)
    }

    fn fault(block: Block) -> Option<&'static str> {
        match block {
            Block::Sound => None,
            Block::Malformed(fault, _) => Some(fault),
            Block::Unreadable => Some("unreadable"),
        }
    }

    #[test]
    fn one_malformed_field_makes_a_block_malformed_and_no_other_does() {
        for (more, expected) in [
            (&b""[..], None),
            (b"\x00\x01a\x03b c", None),
            (b"\x00\x02te\x08trailers", None),
            (b"\x00\x01a\x00", None),
            (b"\x00\x01A\x01b", Some("the name of a field is malformed")),
            (b"\x00\x00\x01b", Some("the name of a field is malformed")),
            (b"\x00\x02:x\x01b", Some("the name of a field is malformed")),
            (
                b"\x00\x01a\x02 b",
                Some("the value of a field is malformed"),
            ),
            (
                b"\x00\x01a\x02b\t",
                Some("the value of a field is malformed"),
            ),
            (b"\x00\x01a\x01 ", Some("the value of a field is malformed")),
            (
                b"\x00\x01a\x03b\nc",
                Some("the value of a field is malformed"),
            ),
            (
                b"\x00\x01a\x03b\0c",
                Some("the value of a field is malformed"),
            ),
            (
                b"\x00\x01a\x84\xff\xff\xff\xf3",
                Some("the value of a field is malformed"),
            ),
            (
                b"\x00\x02te\x01x",
                Some("the value of a field is malformed"),
            ),
            (b"\x0f\x2a\x01x", Some("a field is about the connection")),
            (b"\x84", Some("a pseudo-header is repeated")),
            (b"\x88", Some("it has a :status")),
            (
                b"\x00\x01a\x01b\x00\x09:protocol\x01b",
                Some("a pseudo-header comes after others"),
            ),
            (b"\xbe", Some("unreadable")),
            (b"\x80", Some("unreadable")),
            (b"\x00\x01a\x05b", Some("unreadable")),
            (b"\x00\x01a\x7f\xff\xff\xff\xff\x01", Some("unreadable")),
        ] {
            assert_eq!(fault(read(&mut Fields::new(), more)), expected, "{more:x?}");
        }
        let mut fields = Fields::new();
        assert_eq!(
            fault(fields.read(b"\x02\x04GET?\x86\x84", false)),
            Some("the value of a field is malformed")
        );
        assert_eq!(
            fault(fields.read(b"\x86\x84", false)),
            Some("it has no :method")
        );
        assert_eq!(
            fault(fields.read(b"\x84", true)),
            Some("a pseudo-header is among the trailers")
        );
        assert_eq!(fault(fields.read(b"\x00\x01a\x01b", true)), None);
    }

    #[test]
    fn an_entry_of_the_table_is_malformed_whenever_it_is_referred_to_and_its_name_is_not() {
        let mut fields = Fields::new();
        let Block::Malformed(_, instead) = read(&mut fields, b"\x40\x03abc\x02b ") else {
            panic!("it is malformed");
        };
        assert_eq!(instead, b"\x40\x03abc\x02xx\x00\x02te\x01x");
        assert!(fault(read(&mut fields, b"\xbe")).is_some());
        assert_eq!(read(&mut fields, b"\x0f\x2f\x01b"), Block::Sound);
        let Block::Malformed(_, instead) = read(&mut fields, b"\x40\x03aBc\x02bb") else {
            panic!("it is malformed");
        };
        assert_eq!(instead, b"\x40\x03xxx\x02xx\x00\x02te\x01x");
        assert!(fault(read(&mut fields, b"\x0f\x2f\x01b")).is_some());
    }

    #[test]
    fn entries_leave_the_table_as_they_do_elsewhere() {
        let mut fields = Fields::new();
        let entry = [&b"\x40\x01a\x7f\xe9\x07"[..], &[b'b'; 1128]].concat();
        for _ in 0..4 {
            assert_eq!(read(&mut fields, &entry), Block::Sound);
        }
        assert_eq!((fields.entries.len(), fields.size), (3, 3 * 1161));
        assert_eq!(
            fields.read(&[b"\x20\x3f\xe1\x1f", GET].concat(), false),
            Block::Sound
        );
        assert_eq!((fields.entries.len(), fields.most), (0, 2_000 + 2_096));
        assert_eq!(
            fault(fields.read(b"\x3f\xe2\x1f", false)),
            Some("unreadable")
        );
    }
}
