//! Follows the framing of RFC 6455 in one direction of a tunnel, by lengths only.
//!
//! A [`Follower`] is shown the bytes that the relay passes. It knows whether they end at a frame
//! boundary, which Close frame was among them, and how many frames they were. It neither keeps nor
//! changes payload: it skips it by arithmetic, and of a Close frame it reads the code. Whether the
//! frames make up proper messages is left to the two ends. A head is judged once it is complete, so
//! how the bytes are cut into reads makes no difference.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0F;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const CONTROL_LIMIT: u64 = 125;
const LONGEST_TEXT: usize = 123;
/// Two bytes, a length of eight, a key of four.
const LONGEST_HEAD: usize = 14;

/// Who sends in this direction; a client masks its frames (RFC 6455 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Sender {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Target,
}

/// A Close frame: its status code, `None` if it carries none (RFC 6455 section 5.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Close {
    /// As it was sent, whether or not the RFC allows it on the wire.
    pub(super) code: Option<u16>,
}

/// Follows the frames of one direction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Follower {
    frames: u64,
    part: Part,
    close: Option<Close>,
    sender: Sender,
}

/// The part of a frame that the next byte belongs to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    /// None: a frame begins.
    Boundary,
    Head(HeadStart),
    /// A payload of which this much, and not nothing, is to come.
    Payload(u64),
    ClosePayload(ClosePayload),
    /// Unknown, and it stays so.
    Off,
}

impl Follower {
    /// Follows a direction from its first frame.
    pub(super) fn new(sender: Sender) -> Self {
        Follower {
            frames: 0,
            part: Part::Boundary,
            close: None,
            sender,
        }
    }

    /// Follows nothing: the direction has no frames.
    pub(super) fn off(sender: Sender) -> Self {
        Follower {
            part: Part::Off,
            ..Follower::new(sender)
        }
    }

    /// Follows bytes that pass. Never panics, whatever the bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.follow_frame(bytes);
            bytes = &bytes[count..];
        }
    }

    /// Follows bytes only up to the end of the frame that the direction is in, and returns how many
    /// those are: 0 at a boundary, all of them if the frame goes on or the follower is off.
    pub(super) fn follow_to_boundary(&mut self, bytes: &[u8]) -> usize {
        if self.is_at_boundary() {
            return 0;
        }
        self.follow_frame(bytes)
    }

    /// Whether the bytes so far are whole frames; false when off.
    pub(super) fn is_at_boundary(&self) -> bool {
        matches!(self.part, Part::Boundary)
    }

    /// The stream is not valid framing: from here on nothing is known.
    pub(super) fn is_off(&self) -> bool {
        matches!(self.part, Part::Off)
    }

    /// How many complete frames passed, of all kinds.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// The first Close frame that passed, complete; `None` while none did.
    pub(super) fn close(&self) -> Option<Close> {
        self.close
    }

    /// Follows one frame from where it stands, and returns how many bytes are its own.
    fn follow_frame(&mut self, bytes: &[u8]) -> usize {
        match self.part {
            // Only a head that a read has cut is copied.
            Part::Boundary => match Head::read(bytes) {
                Some(head) => self.follow_body(head, head.size, bytes),
                None => self.follow_head(HeadStart::default(), bytes),
            },
            Part::Head(start) => self.follow_head(start, bytes),
            Part::Payload(left) => self.follow_payload(left, bytes),
            Part::ClosePayload(payload) => self.follow_close(payload, bytes),
            Part::Off => bytes.len(),
        }
    }

    fn follow_head(&mut self, start: HeadStart, bytes: &[u8]) -> usize {
        let longer = start.with(bytes);
        match Head::read(longer.bytes()) {
            Some(head) => self.follow_body(head, head.size - start.bytes().len(), bytes),
            None => {
                self.part = Part::Head(longer);
                bytes.len()
            }
        }
    }

    /// Follows what comes after a head whose last bytes, `head_rest` of them, are the first of
    /// `bytes`.
    #[inline]
    fn follow_body(&mut self, head: Head, head_rest: usize, bytes: &[u8]) -> usize {
        if !head.is_valid(self.sender) {
            self.part = Part::Off;
            return bytes.len();
        }
        let payload = &bytes[head_rest..];
        head_rest
            + if head.opcode() == CLOSE {
                self.follow_close(ClosePayload::of(head), payload)
            } else {
                self.follow_payload(head.length, payload)
            }
    }

    fn follow_payload(&mut self, left: u64, bytes: &[u8]) -> usize {
        if left > bytes.len() as u64 {
            self.part = Part::Payload(left - bytes.len() as u64);
            return bytes.len();
        }
        self.frames += 1;
        self.part = Part::Boundary;
        left as usize
    }

    fn follow_close(&mut self, payload: ClosePayload, bytes: &[u8]) -> usize {
        let payload_after = payload.after(bytes);
        let count = self.follow_payload(payload.left.into(), bytes);
        if self.is_at_boundary() {
            self.close.get_or_insert(payload_after.close());
        } else {
            self.part = Part::ClosePayload(payload_after);
        }
        count
    }
}

/// A frame's head.
#[derive(Debug, Clone, Copy)]
struct Head {
    first: u8,
    key: Option<[u8; 4]>,
    /// Of the payload.
    length: u64,
    /// Of the head itself.
    size: usize,
}

impl Head {
    /// Reads the head that these bytes begin with; `None` if they are only its start.
    fn read(bytes: &[u8]) -> Option<Head> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & LENGTH {
            LENGTH_16 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            LENGTH_64 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (short.into(), rest),
        };
        let (key, rest) = if second & MASKED != 0 {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        Some(Head {
            first,
            key,
            length,
            size: bytes.len() - rest.len(),
        })
    }

    fn opcode(&self) -> u8 {
        self.first & OPCODE
    }

    /// Lengths that are longer written than they need be, and bits reserved for extensions, pass;
    /// so do control frames whatever their mask, for there are clients that answer a Close, or a
    /// Ping, without one.
    fn is_valid(&self, sender: Sender) -> bool {
        let is_known = matches!(self.opcode(), 0x0..=0x2 | 0x8..=0xA);
        let is_control = self.opcode() & CONTROL != 0;
        let is_whole = self.first & FIN != 0;
        let is_masked_right = self.key.is_some() == (sender == Sender::Client);
        is_known
            && (is_masked_right || is_control)
            && self.length >> 63 == 0
            && (!is_control || is_whole && self.length <= CONTROL_LIMIT)
    }
}

/// The first bytes of a head that is not complete yet.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
struct HeadStart {
    bytes: [u8; LONGEST_HEAD],
    size: u8,
}

impl HeadStart {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size.into()]
    }

    /// This start with more of its bytes: as many of these as a head may have.
    fn with(mut self, bytes: &[u8]) -> Self {
        let room = &mut self.bytes[self.size.into()..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.size += count as u8;
        self
    }
}

impl From<HeadStart> for Vec<u8> {
    fn from(start: HeadStart) -> Self {
        start.bytes().to_vec()
    }
}

impl TryFrom<Vec<u8>> for HeadStart {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        match bytes.len() < LONGEST_HEAD {
            true => Ok(HeadStart::default().with(&bytes)),
            false => Err("the start of a frame's head is too long"),
        }
    }
}

/// What is known of a Close frame's payload while it passes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct ClosePayload {
    /// The key's first bytes at first, by and by unmasked into the code.
    code: [u8; 2],
    read: u8,
    left: u8,
}

impl ClosePayload {
    /// Nothing of it has passed; the head is valid.
    fn of(head: Head) -> Self {
        let [first, second, ..] = head.key.unwrap_or_default();
        ClosePayload {
            code: [first, second],
            read: 0,
            left: head.length as u8,
        }
    }

    /// Where it stands after these bytes, or those of them that belong to it.
    fn after(mut self, bytes: &[u8]) -> Self {
        let count = bytes.len().min(self.left.into());
        let code = self.code.iter_mut().skip(self.read.into());
        code.zip(&bytes[..count])
            .for_each(|(code, byte)| *code ^= byte);
        self.read = self.read.saturating_add(count as u8);
        self.left -= count as u8;
        self
    }

    /// The Close frame, all of whose payload has passed. One byte is no code.
    fn close(self) -> Close {
        let code = u16::from_be_bytes(self.code);
        Close {
            code: (self.read >= 2).then_some(code),
        }
    }
}

/// The bytes of a Close frame of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CloseFrame(Box<[u8]>);

impl Deref for CloseFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A Close frame with this code and this text, of which a control frame has room for 123 bytes:
/// masked with the given key towards a target, unmasked towards a client.
pub(super) fn close_frame(code: u16, text: &str, mask: Option<[u8; 4]>) -> CloseFrame {
    let most = text.len().min(LONGEST_TEXT);
    let end = (0..=most)
        .rfind(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    let payload = [&code.to_be_bytes(), &text.as_bytes()[..end]].concat();
    let length = payload.len() as u8;
    let mut bytes = vec![FIN | CLOSE, length];
    match mask {
        None => bytes.extend(payload),
        Some(key) => {
            bytes[1] |= MASKED;
            bytes.extend(key);
            bytes.extend(
                payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        }
    }
    CloseFrame(bytes.into())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::Sender::{Client, Target};
    use super::*;

    /// A frame as its sender means it.
    #[derive(Debug, Clone)]
    struct Frame {
        first: u8,
        /// How many bytes its length takes besides the second byte, at least.
        width: usize,
        key: [u8; 4],
        payload: Vec<u8>,
    }

    impl Frame {
        fn encode(&self, sender: Sender) -> Vec<u8> {
            let length = self.payload.len() as u64;
            let (mask, key) = match sender {
                Client => (MASKED, self.key),
                Target => (0, [0; 4]),
            };
            let (width, short) = match (length, self.width) {
                (0..=125, 0) => (0, length as u8),
                (0..=0xFFFF, 0..=2) => (2, LENGTH_16),
                _ => (8, LENGTH_64),
            };
            let mut bytes = vec![self.first, mask | short];
            bytes.extend(&length.to_be_bytes()[8 - width..]);
            bytes.extend(key.iter().filter(|_| sender == Client));
            let payload = self.payload.iter().zip(key.iter().cycle());
            bytes.extend(payload.map(|(byte, key)| byte ^ key));
            bytes
        }

        fn close(&self) -> Option<Close> {
            let code = self.payload.first_chunk().copied().map(u16::from_be_bytes);
            (self.first & OPCODE == CLOSE).then_some(Close { code })
        }
    }

    /// All that a follower tells: frames, Close, whether at a boundary, whether off.
    type Told = (u64, Option<Close>, bool, bool);

    fn told(follower: &Follower) -> Told {
        (
            follower.frames(),
            follower.close(),
            follower.is_at_boundary(),
            follower.is_off(),
        )
    }

    fn follow<'a>(sender: Sender, chunks: impl IntoIterator<Item = &'a [u8]>) -> Follower {
        let mut follower = Follower::new(sender);
        chunks.into_iter().for_each(|chunk| follower.follow(chunk));
        follower
    }

    /// Cuts bytes into chunks of these sizes, over and over.
    fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            let (chunk, rest) = bytes.split_at((*size).min(bytes.len()));
            chunks.push(chunk);
            bytes = rest;
            if bytes.is_empty() {
                break;
            }
        }
        chunks
    }

    #[test]
    fn whole_frames_are_counted_and_end_at_a_boundary() {
        let table: [(&str, Sender, &[u8], u64); 12] = [
            ("nothing", Target, b"", 0),
            ("text", Target, b"\x81\x05Hello", 1),
            ("masked", Client, b"\x81\x857\xFA!=\x7F\x9FMQX", 1),
            ("empty", Target, b"\x82\0", 1),
            ("empty, masked", Client, b"\x82\x807\xFA!=", 1),
            ("two fragments", Target, b"\x01\x03Hel\x80\x02lo", 2),
            ("a ping between", Target, b"\x01\0\x89\x01!\x80\0", 3),
            ("pong, masked", Client, b"\x8A\x817\xFA!=\x7F", 1),
            ("RSV1", Target, b"\xC1\x01a", 1),
            ("16 bits", Target, b"\x82\x7E\0\x01a", 1),
            ("64 bits", Target, b"\x82\x7F\0\0\0\0\0\0\0\x01a", 1),
            ("control, 16 bits", Target, b"\x89\x7E\0\x01a", 1),
        ];
        for (name, sender, bytes, frames) in table {
            let follower = follow(sender, [bytes]);
            assert_eq!(told(&follower), (frames, None, true, false), "{name}");
        }
    }

    #[test]
    fn the_first_close_is_told_with_its_code() {
        let table: [(Sender, &[u8], u64, Option<u16>); 10] = [
            (Target, b"\x88\0", 1, None),
            (Target, b"\x88\x01\x03", 1, None),
            (Target, b"\x88\x02\x03\xE9", 1, Some(1001)),
            (Client, b"\x88\x827\xFA!=4\x12", 1, Some(1000)),
            (Client, b"\x88\x02\x03\xE9", 1, Some(1001)),
            (Client, b"\x8A\x01!\x88\0", 2, None),
            (Target, b"\x88\x827\xFA!=4\x12", 1, Some(1000)),
            (Target, b"\x88\x05\x03\xE8bye", 1, Some(1000)),
            (Target, b"\x89\0\x88\0", 2, None),
            (Target, b"\x88\0\x88\x02\x03\xE8\x81\0", 3, None),
        ];
        for (sender, bytes, frames, code) in table {
            let expected = (frames, Some(Close { code }), true, false);
            assert_eq!(told(&follow(sender, [bytes])), expected, "{bytes:?}");
        }
    }

    #[test]
    fn invalid_framing_switches_it_off_for_good() {
        let mut table: Vec<(Sender, Vec<u8>)> = vec![
            (Client, b"\x81\x01a".to_vec()),
            (Target, b"\x81\x81\0\0\0\0a".to_vec()),
            (Target, b"\x09\0".to_vec()),
            (Target, b"\x08\0".to_vec()),
            (Target, b"\x8A\x7E\0\x7E".to_vec()),
            (Target, b"\x88\x7F\0\0\0\0\0\0\x01\0".to_vec()),
            (Target, b"\x82\x7F\x80\0\0\0\0\0\0\0".to_vec()),
        ];
        let reserved = (0x3..=0x7).chain(0xB..=0xF);
        table.extend(reserved.map(|opcode| (Target, vec![FIN | opcode, 0])));
        for (sender, bytes) in table {
            let mut follower = follow(sender, [&bytes[..], b"\x81\0", b"\x88\0"]);
            assert_eq!(told(&follower), (0, None, false, true), "{bytes:?}");
            assert_eq!(follower.follow_to_boundary(b"\x81\0"), 2);
        }
    }

    #[test]
    fn a_close_counts_once_its_last_byte_has_passed() {
        let bytes = b"\x88\x857\xFA!=\x34\x12CDX";
        for size in 1..bytes.len() {
            let (start, rest) = bytes.split_at(size);
            let mut follower = follow(Client, [start]);
            assert_eq!(told(&follower), (0, None, false, false), "{size}");
            assert_eq!(follower.follow_to_boundary(rest), rest.len());
            assert_eq!(follower.close(), Some(Close { code: Some(1000) }));
        }
    }

    #[test]
    fn a_long_frame_ends_with_its_last_byte() {
        let read = [0; 0x1_0000];
        let mut follower = follow(Target, [&b"\x82\x7F\0\0\0\0\x01\0\0\x01"[..]]);
        (0..0x100).for_each(|_| follower.follow(&read));
        assert_eq!(told(&follower), (0, None, false, false));
        assert_eq!(follower.follow_to_boundary(&read), 1);
        assert_eq!(told(&follower), (1, None, true, false));
    }

    #[test]
    fn the_longest_frame_there_can_be_is_followed() {
        let head = b"\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
        let follower = follow(Target, [&head[..], b"payload"]);
        assert_eq!(told(&follower), (0, None, false, false));
    }

    #[test]
    fn a_follower_is_small() {
        assert_eq!(size_of::<Follower>(), 32);
    }

    fn senders() -> impl Strategy<Value = Sender> {
        prop_oneof![Just(Client), Just(Target)]
    }

    /// Valid ones, with any RSV bits, many of them control frames.
    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let data = (0..=2_u8, 0..=0xF_u8, vec(any::<u8>(), 0..300));
        let control = (0x8..=0xA_u8, 0x8..=0xF_u8, vec(any::<u8>(), 0..=125));
        let short = (0x8..=0xA_u8, 0x8..=0xF_u8, vec(any::<u8>(), 0..=3));
        let width = prop_oneof![2 => Just(0), 1 => Just(2), 1 => Just(8)];
        let frame = (prop_oneof![data, control, short], width, any::<[u8; 4]>());
        let frame = frame.prop_map(|((opcode, flags, payload), width, key)| Frame {
            first: flags << 4 | opcode,
            width,
            key,
            payload,
        });
        vec(frame, 1..12)
    }

    /// The encoding of such frames.
    fn valid_bytes(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
        frames().prop_map(move |frames| frames.iter().flat_map(|it| it.encode(sender)).collect())
    }

    /// Anything: mere noise, or valid frames that turn into noise.
    fn any_bytes(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
        (valid_bytes(sender), any::<bool>(), vec(any::<u8>(), 0..64)).prop_map(
            |(valid, is_noise, noise)| {
                if is_noise {
                    noise
                } else {
                    [valid, noise].concat()
                }
            },
        )
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        vec(prop_oneof![3 => 1..4_usize, 1 => 1..400_usize], 1..12)
    }

    proptest! {
        #[test]
        fn valid_frames_are_followed_however_they_are_cut(
            sender in senders(),
            frames in frames(),
            sizes in sizes(),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|it| it.encode(sender)).collect();
            let close = frames.iter().find_map(Frame::close);
            let expected = (frames.len() as u64, close, true, false);
            prop_assert_eq!(told(&follow(sender, [&bytes[..]])), expected);
            prop_assert_eq!(told(&follow(sender, cut(&bytes, &sizes))), expected);
        }

        #[test]
        fn any_bytes_give_the_same_however_they_are_cut(
            (sender, bytes) in senders().prop_flat_map(|it| (Just(it), any_bytes(it))),
            sizes in sizes(),
        ) {
            let whole = follow(sender, [&bytes[..]]);
            let mut pieces = Follower::new(sender);
            for chunk in cut(&bytes, &sizes) {
                let count = pieces.follow_to_boundary(chunk);
                prop_assert!(count == chunk.len() || pieces.is_at_boundary());
                pieces.follow(&chunk[count..]);
            }
            prop_assert_eq!(told(&pieces), told(&whole));
        }

        #[test]
        fn a_cut_frame_is_followed_to_its_end_and_not_further(
            sender in senders(),
            frames in frames(),
            at in any::<prop::sample::Index>(),
        ) {
            let bytes: Vec<_> = frames.iter().map(|it| it.encode(sender)).collect();
            let at = at.index(bytes.concat().len());
            let ends = (0..=bytes.len()).map(|count| bytes[..count].concat().len());
            let (count, end) = ends.enumerate().find(|(_, end)| *end >= at).unwrap();
            let bytes = bytes.concat();
            let mut follower = follow(sender, [&bytes[..at]]);
            prop_assert_eq!(follower.is_at_boundary(), at == end);
            prop_assert_eq!(follower.follow_to_boundary(&bytes[at..]), end - at);
            prop_assert!(follower.is_at_boundary());
            prop_assert_eq!(follower.frames(), count as u64);
            prop_assert_eq!(follower.follow_to_boundary(&bytes[end..]), 0);
        }

        #[test]
        fn a_close_frame_of_ours_gives_its_code_back(
            code: u16,
            text in ".{0,123}",
            mask: Option<[u8; 4]>,
        ) {
            let sender = if mask.is_some() { Client } else { Target };
            let follower = follow(sender, [&*close_frame(code, &text, mask)]);
            let close = Some(Close { code: Some(code) });
            prop_assert_eq!(told(&follower), (1, close, true, false));
        }
    }
}
