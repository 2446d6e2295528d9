//! Frames of HTTP/2 on their way to h2, which keeps some 300 bytes for each DATA frame until
//! somebody reads it, whatever it holds.
//!
//! So small ones become one where several of a stream come together, and h2 has to stop now and
//! then for those who read. Joined frames count as much in the windows as they did alone: what is
//! padding among them stays padding (RFC 9113 sections 6.1 and 6.9).

use std::task::{Context, Poll};

/// How long the head of a frame is.
pub(crate) const FRAME_HEAD: usize = 9;
/// How long a frame may be: we ask for no other size.
pub(crate) const MOST_FRAME: usize = 1 << 14;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const PADDED: u8 = 8;
const DATA: u8 = 0;
/// How much padding a frame can have: its length is a byte, and counts itself.
const MOST_PADDING: usize = 256;
/// What is small: a frame that holds less than h2 needs for it, or a few times as much.
const SMALL: usize = 1 << 10;
/// How many small ones go to h2 before others have their turn.
const AT_ONCE: usize = 64;

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    /// The head that these bytes begin with, if they are long enough.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes.first_chunk::<FRAME_HEAD>()?;
        Some(FrameHead {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & (u32::MAX >> 1),
        })
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn bytes(self) -> [u8; FRAME_HEAD] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// One side's frames, as far as they have come.
#[derive(Debug)]
pub(crate) struct SmallFrames {
    /// How much comes before the next frame.
    passing: usize,
    /// The beginning of a head, whose rest has not come yet.
    begun: Vec<u8>,
    /// How many small ones have gone to h2 since others had their turn.
    gone: usize,
}

impl SmallFrames {
    /// Frames that come behind so many bytes: a preface.
    pub(crate) fn behind(preface: usize) -> Self {
        SmallFrames {
            passing: preface,
            begun: Vec::new(),
            gone: 0,
        }
    }

    /// Pending, to be called again at once, where others should have their turn.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gone < AT_ONCE {
            return Poll::Ready(());
        }
        self.gone = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// There is nothing to read: others have their turn.
    pub(crate) fn rest(&mut self) {
        self.gone = 0;
    }

    /// Joins what can be joined in the bytes that were read next. Returns how many are left.
    pub(crate) fn join(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = self.resume(bytes);
        let mut joined = Joined {
            end: at,
            latest: None,
        };
        while let Some(head) = FrameHead::of(&bytes[at..]) {
            let end = at + FRAME_HEAD + head.length;
            if end > bytes.len() {
                self.passing = end - bytes.len();
                break;
            }
            let is_new = joined.take(bytes, at, head);
            self.gone += usize::from(is_new && head.kind == DATA && head.length < SMALL);
            at = end;
        }
        if self.passing == 0 {
            self.begun.extend_from_slice(&bytes[at..]);
        }
        joined.pass(bytes, at, bytes.len());
        joined.end
    }

    /// Where the first frame begins whose head is all here.
    fn resume(&mut self, bytes: &[u8]) -> usize {
        let mut at = self.passing.min(bytes.len());
        self.passing -= at;
        if self.begun.is_empty() {
            return at;
        }
        let lacking = (FRAME_HEAD - self.begun.len()).min(bytes.len());
        self.begun.extend_from_slice(&bytes[..lacking]);
        at += lacking;
        if let Some(head) = FrameHead::of(&self.begun) {
            self.begun = Vec::new();
            let here = head.length.min(bytes.len() - at);
            self.passing = head.length - here;
            at += here;
        }
        at
    }
}

/// What the bytes have become so far, at their beginning.
struct Joined {
    end: usize,
    latest: Option<Latest>,
}

/// The latest frame, to which another may be joined.
struct Latest {
    start: usize,
    head: FrameHead,
    /// How much of it is padding, with the byte that tells its length.
    padding: usize,
}

impl Joined {
    /// Takes the frame that is at `at`. Whether it stays one of its own.
    fn take(&mut self, bytes: &mut [u8], at: usize, head: FrameHead) -> bool {
        let Some(data) = data_of(&bytes[at..], head) else {
            self.pass(bytes, at, at + FRAME_HEAD + head.length);
            return true;
        };
        let padding = head.length - data.len();
        let data = at + data.start..at + data.end;
        let fits = |latest: &&mut Latest| {
            latest.head.stream == head.stream
                && latest.head.has(PADDED) == head.has(PADDED)
                && latest.head.length + head.length <= MOST_FRAME
                && latest.padding + padding <= MOST_PADDING
                && data.len() < SMALL
        };
        let Some(latest) = self.latest.as_mut().filter(fits) else {
            let start = self.end;
            self.pass(bytes, at, at + FRAME_HEAD + head.length);
            self.latest = (!head.has(END_STREAM)).then_some(Latest {
                start,
                head,
                padding,
            });
            return true;
        };
        self.end -= latest.padding.saturating_sub(1);
        bytes.copy_within(data.clone(), self.end);
        self.end += data.len();
        latest.head.length += head.length;
        latest.head.flags |= head.flags;
        latest.padding += padding;
        latest.finish(bytes, &mut self.end);
        if head.has(END_STREAM) {
            self.latest = None;
        }
        false
    }

    /// Takes bytes as they are.
    fn pass(&mut self, bytes: &mut [u8], from: usize, to: usize) {
        self.latest = None;
        if self.end < from {
            bytes.copy_within(from..to, self.end);
        }
        self.end += to - from;
    }
}

impl Latest {
    /// Writes its head anew, and its padding behind its data.
    fn finish(&self, bytes: &mut [u8], end: &mut usize) {
        let head = self.start..self.start + FRAME_HEAD;
        bytes[head.clone()].copy_from_slice(&self.head.bytes());
        if let Some(padding) = self.padding.checked_sub(1) {
            bytes[head.end] = padding as u8;
            bytes[*end..*end + padding].fill(0);
            *end += padding;
        }
    }
}

/// Where the data is in a DATA frame that holds any and is well-formed.
fn data_of(frame: &[u8], head: FrameHead) -> Option<std::ops::Range<usize>> {
    let is_data = head.kind == DATA && head.stream > 0 && head.length <= MOST_FRAME;
    let end = FRAME_HEAD + head.length;
    let data = match head.has(PADDED) {
        false => FRAME_HEAD..end,
        true => {
            let padding = usize::from(*frame[..end].get(FRAME_HEAD)?);
            FRAME_HEAD + 1..end.checked_sub(padding)?
        }
    };
    (is_data && !data.is_empty()).then_some(data)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const HEADERS: u8 = 1;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let head = FrameHead {
            length,
            kind,
            flags,
            stream,
        };
        [&head.bytes(), payload].concat()
    }

    fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
        frame(DATA, 0, stream, payload)
    }

    fn padded(flags: u8, stream: u32, payload: &[u8], padding: u8) -> Vec<u8> {
        let padded = [&[padding], payload, &vec![0; padding.into()]].concat();
        frame(DATA, flags | PADDED, stream, &padded)
    }

    /// What becomes of bytes that come in parts of this length.
    fn joined(bytes: &[u8], part: usize) -> Vec<u8> {
        let mut frames = SmallFrames::behind(0);
        let mut all = Vec::new();
        for part in bytes.chunks(part) {
            let mut part = part.to_vec();
            let left = frames.join(&mut part);
            all.extend_from_slice(&part[..left]);
        }
        all
    }

    #[test]
    fn small_frames_of_a_stream_become_one() {
        let frames = [data(1, b"ab"), data(1, b"c"), data(1, b"def")].concat();
        assert_eq!(joined(&frames, 1000), data(1, b"abcdef"));
        let end = frame(DATA, END_STREAM, 1, b"x");
        let frames = [data(1, b"a"), end.clone(), end.clone()].concat();
        let expected = [frame(DATA, END_STREAM, 1, b"ax"), end].concat();
        assert_eq!(
            joined(&frames, 1000),
            expected,
            "nothing belongs behind the end"
        );
    }

    #[test]
    fn padding_stays_padding() {
        let frames = [padded(0, 1, b"ab", 3), padded(END_STREAM, 1, b"c", 0)].concat();
        assert_eq!(joined(&frames, 1000), padded(END_STREAM, 1, b"abc", 4));
        let most = padded(0, 1, b"ab", 255);
        let frames = [&most[..], &padded(0, 1, b"c", 0)].concat();
        assert_eq!(joined(&frames, 1000), frames, "more does not fit");
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let head = frame(HEADERS, 4, 3, b"block");
        for frames in [
            [data(1, b"a"), data(3, b"b"), data(1, b"c")].concat(),
            [data(1, b"a"), head, data(1, b"b")].concat(),
            [data(1, b"a"), data(1, b""), data(1, b"b")].concat(),
            [data(1, b"a"), data(1, &[b'x'; SMALL])].concat(),
            [data(0, b"a"), data(0, b"b")].concat(),
            [data(1, &[b'x'; MOST_FRAME]), data(1, b"b")].concat(),
            [data(1, b"a"), padded(0, 1, b"b", 0)].concat(),
            [data(1, b"a"), frame(DATA, PADDED, 1, b"\x09b")].concat(),
            frame(DATA, PADDED, 1, b"").repeat(2),
        ] {
            assert_eq!(joined(&frames, 100_000), frames);
        }
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let frames = [
            data(1, b"ab"),
            data(1, b"c"),
            frame(HEADERS, 4, 3, &[9; 40]),
            padded(0, 3, b"de", 7),
            data(3, b"fg"),
            frame(DATA, END_STREAM, 3, b"h"),
        ]
        .concat();
        for part in 1..frames.len() {
            let mut rest = &*joined(&frames, part);
            let mut found = [Vec::new(), Vec::new()];
            while let Some(head) = FrameHead::of(rest) {
                let frame;
                (frame, rest) = rest.split_at(FRAME_HEAD + head.length);
                if let Some(range) = data_of(frame, head) {
                    found[head.stream as usize / 2].extend_from_slice(&frame[range]);
                }
            }
            assert!(
                rest.is_empty() && found == [b"abc".to_vec(), b"defgh".to_vec()],
                "{part}"
            );
        }
        let begun = joined(&frames, 5);
        assert_eq!(begun, frames, "no frame is whole in such a part");
    }

    #[test]
    fn others_have_their_turn_between_small_frames() {
        let mut frames = SmallFrames::behind(0);
        let mut cx = Context::from_waker(Waker::noop());
        let alternating = [data(1, b"a"), data(3, b"b")].concat().repeat(AT_ONCE / 2);
        let mut turn = |bytes: &[u8]| {
            frames.join(&mut bytes.to_vec());
            frames.poll_turn(&mut cx).is_ready()
        };
        assert!(turn(&data(1, b"a").repeat(1000)), "they are one");
        assert!(!turn(&alternating));
        assert!(turn(&[]), "it is over");
    }
}
