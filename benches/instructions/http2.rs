//! A client of HTTP/2 that makes the same request over and over, as a browser does: after the
//! first, every field is an index.
//!
//! Its frames (RFC 9113) are written down here and not made by a library, so that they are the same
//! in every version.

use std::io::{self, Write as _};

use crate::ends::{Ends, Script, Speak};

use crate::protocol::ANSWER;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
/// An answer's frame is not longer than this.
const LONGEST: usize = 1 << 14;
/// What may come on the connection, so that no more needs to be said of it.
const WINDOW: u32 = 0x00ff_0000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The fields of the request after `:method` and `:scheme`, by their place in the static table (RFC
/// 7541 appendix A).
const FIELDS: [(u8, &str); 6] = [
    (1, "chat.example.com"),
    (4, "/plain"),
    (
        58,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    (19, "*/*"),
    (16, "gzip, deflate, br, zstd"),
    (17, "en-GB,en;q=0.9"),
];
const METHOD_GET: u8 = 0x82;
const SCHEME_HTTPS: u8 = 0x87;
const FIRST_DYNAMIC: u8 = 62;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Opens a connection; what is returned makes one request on it.
pub(crate) fn requests(ends: &Ends) -> io::Result<Script<'_>> {
    let mut client = ends.connect_in_tls(ends.offer(&[b"h2"]).as_ref())?;
    let begin = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()),
    ];
    client.write_all(&begin.concat())?;
    client.flush()?;
    let mut stream = 1;
    let mut fields = new_fields();
    Ok(Box::new(move || {
        let flags = END_STREAM | END_HEADERS;
        client.write_all(&frame(HEADERS, flags, stream, &fields))?;
        client.flush()?;
        ends.answer_a_request()?;
        hear_answer(&mut client, stream)?;
        stream += 2;
        fields = known_fields();
        Ok(())
    }))
}

/// As literals, which the other side is to remember.
fn new_fields() -> Vec<u8> {
    let mut block = vec![METHOD_GET, SCHEME_HTTPS];
    for (place, value) in FIELDS {
        block.extend([0x40 | place, value.len() as u8]);
        block.extend(value.bytes());
    }
    block
}

/// As what the other side remembers: the newest is the first.
fn known_fields() -> Vec<u8> {
    let known = (0..FIELDS.len() as u8).rev();
    let known = known.map(|place| 0x80 | (FIRST_DYNAMIC + place));
    [METHOD_GET, SCHEME_HTTPS]
        .into_iter()
        .chain(known)
        .collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length, &[kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Errors: it is not the answer to a plain request, or the connection ends.
fn hear_answer(client: &mut impl Speak, stream: u32) -> io::Result<()> {
    let mut body = Vec::new();
    loop {
        let heard = read_frame(client)?;
        match heard.kind {
            SETTINGS if heard.flags & ACK == 0 => {
                client.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
                client.flush()?;
            }
            PING if heard.flags & ACK == 0 => {
                client.write_all(&frame(PING, ACK, 0, &heard.payload))?;
                client.flush()?;
            }
            DATA => body.extend(heard.payload),
            SETTINGS | PING | HEADERS | WINDOW_UPDATE => {}
            _ => return Err(io::Error::other("HTTP/2 ended with an error")),
        }
        let is_answer = matches!(heard.kind, DATA | HEADERS) && heard.stream == stream;
        if is_answer && heard.flags & END_STREAM != 0 {
            break;
        }
    }
    match !body.is_empty() && ANSWER.ends_with(&body) {
        true => Ok(()),
        false => Err(io::Error::other("an unexpected answer over HTTP/2")),
    }
}

fn read_frame(client: &mut impl Speak) -> io::Result<Frame> {
    let mut head = [0; FRAME_HEAD];
    client.read_exact(&mut head)?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > LONGEST {
        return Err(io::Error::other("a frame that is too long"));
    }
    let mut payload = vec![0; length];
    client.read_exact(&mut payload)?;
    Ok(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes(stream),
        payload,
    })
}
