//! The bytes that the client and the target say to each other through a proxy: handshakes, frames
//! (RFC 6455), plain requests.
//!
//! All of them are built once. A message carries a stamp, so that an echo that is old, or another
//! tunnel's, is noticed.

use std::io;
use std::sync::LazyLock;

/// What a browser sends, with the key of RFC 6455 section 1.3.
pub(crate) const HANDSHAKE: &[u8] = b"GET /tunnel HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The answer to it.
pub(crate) const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A plain request.
pub(crate) const REQUEST: &[u8] = b"GET /plain HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\r\n";

/// The answer to it.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 64\r\n\r\n\
    {\"online\":17290,\"rooms\":[\"blue\",\"green\",\"red\"],\"since\":\"midday\"}";
const BODY: usize = 64;

/// A client's Close frame, code 1000.
pub(crate) const CLOSE: &[u8] = &[0x88, 0x82, 7, 11, 13, 17, 0x03 ^ 7, 0xE8 ^ 11];
/// The target's answer to it.
pub(crate) const CLOSE_ECHO: &[u8] = &[0x88, 0x02, 0x03, 0xE8];

/// The head of a request whose body may take long.
pub(crate) const UPLOAD: &[u8] = b"POST /upload HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Content-Type: application/octet-stream\r\n\
    Content-Length: 1000\r\n\r\n";

/// How many bytes a long answer and a long body have.
pub(crate) const LONG: usize = 1 << 20;

/// A request whose answer is long.
pub(crate) const LONG_REQUEST: &[u8] = b"GET /long HTTP/1.1\r\nHost: chat.example.com\r\n\r\n";

/// A request whose body is long.
pub(crate) static LONG_UPLOAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let head = "POST /long HTTP/1.1\r\nHost: chat.example.com\r\nContent-Length: 1048576\r\n\r\n";
    [head.as_bytes(), &[b'a'; LONG]].concat()
});

static LONG_ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n";
    [head.as_bytes(), &[b'a'; LONG]].concat()
});

const CLOSE_OPCODE: u8 = 8;
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const KEY: [u8; 4] = [0x9D, 0x37, 0xC2, 0x5B];
const STAMP: usize = 8;

/// What the target answers to a head: nothing to a body, which never ends. `None`: it is neither a
/// sound handshake nor one of the requests.
pub(crate) fn answer_to(head: &[u8]) -> Option<&'static [u8]> {
    if head.starts_with(b"GET /plain ") {
        return Some(ANSWER);
    }
    if head.starts_with(b"GET /long ") {
        return Some(&LONG_ANSWER);
    }
    if head.starts_with(b"POST /upload ") || is_long_body(head) {
        return Some(b"");
    }
    let is_handshake = head.starts_with(b"GET /tunnel HTTP/1.1\r\n")
        && has_field(head, "connection", "upgrade")
        && has_field(head, "upgrade", "websocket")
        && has_field(head, "sec-websocket-version", "13")
        && has_field(head, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    is_handshake.then_some(SWITCHING)
}

/// Whether a long body follows this head.
pub(crate) fn is_long_body(head: &[u8]) -> bool {
    head.starts_with(b"POST /long ")
}

/// Whether this is a whole 101, with nothing after it. Errors: it is something else.
pub(crate) fn is_switching(answer: &[u8]) -> io::Result<bool> {
    let Some(end) = head_end(answer) else {
        return Ok(false);
    };
    let is_right = answer.starts_with(b"HTTP/1.1 101 ")
        && has_field(answer, "connection", "upgrade")
        && has_field(answer, "upgrade", "websocket")
        && has_field(
            answer,
            "sec-websocket-accept",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        );
    judge(is_right && end == answer.len(), answer)
}

/// Whether this is the whole answer to a plain request. Errors: it is something else.
pub(crate) fn is_answer(answer: &[u8]) -> io::Result<bool> {
    let Some(end) = head_end(answer) else {
        return Ok(false);
    };
    let (head, body) = answer.split_at(end);
    if body.len() < BODY {
        return Ok(false);
    }
    let is_right = head.starts_with(b"HTTP/1.1 200 ")
        && has_field(head, "content-length", "64")
        && body == &ANSWER[ANSWER.len() - BODY..];
    judge(is_right, answer)
}

fn judge(is_right: bool, answer: &[u8]) -> io::Result<bool> {
    if is_right {
        return Ok(true);
    }
    let text = String::from_utf8_lossy(answer);
    Err(io::Error::other(format!("unexpected answer:\n{text}")))
}

/// Where the head that these bytes begin with ends.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

fn has_field(head: &[u8], name: &str, value: &str) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let found = parts
            .next()
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()));
        found
            && parts
                .next()
                .is_some_and(|found| found.trim_ascii().eq_ignore_ascii_case(value.as_bytes()))
    })
}

/// A message as the client sends it, and as it comes back.
pub(crate) struct Message {
    frame: Vec<u8>,
    echo: Vec<u8>,
    size: usize,
}

impl Message {
    /// A binary message of this many bytes, which begins with a stamp.
    pub(crate) fn new(size: usize) -> Self {
        assert!(size >= STAMP, "a message has room for its stamp");
        let payload: Vec<u8> = (0..size as u32)
            .map(|place| (place.wrapping_mul(0x9E37_79B1) >> 24) as u8)
            .collect();
        let echo = [&head(BINARY, size), payload.as_slice()].concat();
        let mut frame = head(BINARY, size);
        frame[1] |= MASKED;
        frame.extend(KEY);
        frame.extend(payload);
        let start = frame.len() - size;
        mask(&mut frame[start..], KEY);
        Message { frame, echo, size }
    }

    /// The masked frame with this stamp.
    pub(crate) fn frame(&mut self, stamp: u64) -> &[u8] {
        let start = self.frame.len() - self.size;
        let place = &mut self.frame[start..start + STAMP];
        place.copy_from_slice(&stamp.to_ne_bytes());
        mask(place, KEY);
        &self.frame
    }

    /// The frame that answers it.
    pub(crate) fn echo(&mut self, stamp: u64) -> &[u8] {
        let start = self.echo.len() - self.size;
        self.echo[start..start + STAMP].copy_from_slice(&stamp.to_ne_bytes());
        &self.echo
    }
}

/// A masked frame at the beginning of some bytes.
pub(crate) struct Frame {
    start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// Whether it is a Close.
    pub(crate) is_close: bool,
}

impl Frame {
    /// `None` if it is not complete. Errors: it is not masked, or not whole: those do not occur in
    /// the loads.
    pub(crate) fn read(bytes: &[u8]) -> io::Result<Option<Frame>> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let is_close = first == MASKED | CLOSE_OPCODE;
        if second & MASKED == 0 || !(is_close || first == BINARY) {
            return Err(io::Error::other("not a masked binary or Close frame"));
        }
        let (length, size) = match second & !MASKED {
            LENGTH_16 => (
                rest.first_chunk()
                    .map(|length| u16::from_be_bytes(*length).into()),
                2,
            ),
            LENGTH_64 => (
                rest.first_chunk().map(|length| u64::from_be_bytes(*length)),
                8,
            ),
            short => (Some(short.into()), 0),
        };
        let start = 2 + size + KEY.len();
        let end = length.map(|length: u64| length as usize + start);
        Ok(end.filter(|end| *end <= bytes.len()).map(|end| Frame {
            start,
            end,
            is_close,
        }))
    }

    /// Turns the frame into its echo, in place.
    pub(crate) fn echo(self, bytes: &mut [u8]) -> &[u8] {
        let first = bytes[0];
        let (heads, payload) = bytes[..self.end].split_at_mut(self.start);
        if let Some(key) = heads.last_chunk() {
            mask(payload, *key);
        }
        let head = head(first, payload.len());
        let begin = self.start - head.len();
        bytes[begin..self.start].copy_from_slice(&head);
        &bytes[begin..self.end]
    }
}

fn head(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..126 => vec![first, length as u8],
        126..0x1_0000 => [&[first, LENGTH_16][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, LENGTH_64][..], &(length as u64).to_be_bytes()].concat(),
    }
}

fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
