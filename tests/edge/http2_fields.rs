//! A malformed field of HTTP/2 is an error of its stream, and of nothing else on the connection
//! (RFC 9113 section 8.1.1).

use std::collections::VecDeque;

use crate::harness::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, frame,
};
use crate::harness::{Config, Edge, Noise, Target, eventually};

const DATA: u8 = 0;
/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`.
const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];

async fn start(target: &Target) -> Edge {
    Edge::start(&Config::forwarding_to(&[target.address]).rule("h2c: true")).await
}

/// A client that numbers its streams.
struct Client {
    frames: Frames,
    stream: u32,
}

impl Client {
    async fn connect(edge: &Edge) -> Client {
        let frames = Frames::connect(edge.address).await;
        Client { frames, stream: 1 }
    }

    /// The body of the answer to a request with this block; `None` where its stream is reset for a
    /// protocol error.
    async fn ask(&mut self, block: &[u8]) -> Option<String> {
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, self.stream, block);
        self.frames.0.send(asked).await;
        self.stream += 2;
        self.answer().await
    }

    /// The answer's body, a head that has reached the target.
    async fn answer(&mut self) -> Option<String> {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            let (kind, payload) = self.frames.next_of(&[DATA, RST_STREAM]).await;
            if kind == RST_STREAM {
                assert_eq!(payload, PROTOCOL_ERROR);
                return None;
            }
            body.extend(payload);
        }
        Some(String::from_utf8(body).unwrap())
    }
}

#[tokio::test]
async fn a_websocket_is_malformed_where_none_is_offered() {
    const HANDSHAKE: &[u8] = b"\x02\x07CONNECT\x86\x84\x01\x01a\x00\x09:protocol\x09websocket";
    let target = Target::showing().await;
    let rule = "h2c: true, http2WebSockets: false";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).rule(rule)).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.ask(HANDSHAKE).await, None);
    assert!(client.ask(GET).await.is_some());
    let offering = start(&target).await;
    let mut client = Client::connect(&offering).await;
    let asked = frame(HEADERS, END_HEADERS, 1, HANDSHAKE);
    client.frames.0.send(asked).await;
    let (kind, _) = client.frames.next_of(&[HEADERS, RST_STREAM]).await;
    assert_eq!(kind, HEADERS);
}

#[tokio::test]
async fn a_malformed_field_resets_its_stream_and_is_never_passed() {
    let target = Target::showing().await;
    let edge = start(&target).await;
    let mut client = Client::connect(&edge).await;
    let faults: [&[u8]; 14] = [
        b"\x00\x01A\x01b",
        b"\x00\x00\x01b",
        b"\x00\x02:x\x01b",
        b"\x00\x01a\x02 b",
        b"\x00\x01a\x02b ",
        b"\x00\x01a\x02\tb",
        b"\x00\x01a\x03b\nc",
        b"\x00\x01a\x03b\0c",
        b"\x00\x01a\x84\xff\xff\xff\xf3",
        b"\x40\x01a\x02b ",
        b"\x40\x01A\x01b",
        b"\x40\x00\x00",
        b"\x00\x0aconnection\x01b",
        b"\x84",
    ];
    for fault in faults {
        let answer = client.ask(&[GET, fault].concat()).await;
        assert_eq!(answer, None, "{fault:x?}");
        assert!(client.ask(GET).await.is_some(), "{fault:x?}");
    }
    let method = client.ask(b"\x02\x04GET?\x86\x84\x01\x01a").await;
    assert_eq!(method, None);
    assert_eq!(target.heads().len(), faults.len());
    let is_counted = || (edge.refusals("bad_request") == 15.0).then_some(());
    eventually("each is counted", is_counted).await;
    let lines = edge.log_lines(29).await;
    let is_blamed = |line: &&serde_json::Value| {
        line["error"] == "malformed request: the value of a field is malformed"
    };
    assert_eq!(lines.iter().filter(is_blamed).count(), 8);
}

#[tokio::test]
async fn a_block_in_parts_is_no_different() {
    let target = Target::showing().await;
    let edge = start(&target).await;
    let mut client = Client::connect(&edge).await;
    for (more, is_sound) in [
        (&b"\x00\x01a\x03b\0c"[..], false),
        (b"\x00\x01a\x03b-c", true),
    ] {
        let block = [GET, b"\x00\x0aconnection\x01b", more].concat();
        let block = if is_sound {
            [GET, more].concat()
        } else {
            block
        };
        let parts: Vec<_> = block.chunks(7).collect();
        let (last, first) = parts.split_last().unwrap();
        for (number, part) in first.iter().enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let flags = if number == 0 { END_STREAM } else { 0 };
            for byte in frame(kind, flags, client.stream, part) {
                client.frames.0.send([byte]).await;
            }
        }
        let end = frame(CONTINUATION, END_HEADERS, client.stream, last);
        client.frames.0.send(end).await;
        client.stream += 2;
        let answer = client.answer().await;
        assert_eq!(answer.is_some(), is_sound);
        if let Some(told) = answer {
            assert!(told.contains("\r\na: b-c\r\n"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_pseudo_header_among_the_trailers_resets_the_stream() {
    let target = Target::showing().await;
    let edge = start(&target).await;
    let mut client = Client::connect(&edge).await;
    for (trailers, is_sound) in [(&b"\x84"[..], false), (b"\x00\x01a\x01b", true)] {
        let post = b"\x83\x86\x84\x01\x01a";
        let sent = [
            frame(HEADERS, END_HEADERS, client.stream, post),
            frame(DATA, 0, client.stream, b"hello"),
            frame(HEADERS, END_HEADERS | END_STREAM, client.stream, trailers),
        ];
        client.frames.0.send(sent.concat()).await;
        client.stream += 2;
        let (kind, _) = client.frames.next_of(&[DATA, RST_STREAM]).await;
        assert_eq!(kind, if is_sound { DATA } else { RST_STREAM });
    }
}

/// An encoder that puts malformed fields into its table as readily as others.
#[derive(Default)]
struct Encoder {
    table: VecDeque<(&'static str, String)>,
}

impl Encoder {
    fn put(&mut self, name: &'static str, value: &str, noise: &mut Noise, block: &mut Vec<u8>) {
        let place = |found: Option<usize>| found.map(|place| 62 + place);
        let field = (name, value.to_owned());
        if let Some(index) = place(self.table.iter().position(|entry| *entry == field)) {
            return put_number(0x80, 7, index, block);
        }
        let known = place(self.table.iter().position(|entry| entry.0 == name));
        let is_kept = noise.below(3) > 0;
        let (pattern, prefix) = if is_kept { (0x40, 6) } else { (0x10, 4) };
        put_number(pattern, prefix, known.unwrap_or(0), block);
        if known.is_none() {
            put_number(0, 7, name.len(), block);
            block.extend(name.as_bytes());
        }
        put_number(0, 7, value.len(), block);
        block.extend(value.as_bytes());
        if is_kept {
            self.table.push_front(field);
            let size = |table: &VecDeque<(&str, String)>| -> usize {
                let sizes = table
                    .iter()
                    .map(|(name, value)| 32 + name.len() + value.len());
                sizes.sum()
            };
            while size(&self.table) > 4096 {
                self.table.pop_back();
            }
        }
    }
}

fn put_number(pattern: u8, prefix: u8, number: usize, block: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    if number < most {
        return block.push(pattern | number as u8);
    }
    block.push(pattern | most as u8);
    let mut left = number - most;
    while left >= 0x80 {
        block.push(left as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
}

#[tokio::test]
async fn after_any_mix_of_sound_and_malformed_fields_the_sound_ones_arrive_as_they_were_sent() {
    let target = Target::showing().await;
    let edge = start(&target).await;
    for seed in 0..20 {
        let noise = &mut Noise::seeded(seed);
        let mut client = Client::connect(&edge).await;
        let (mut encoder, mut malformed) = (Encoder::default(), 0);
        for _ in 0..60 {
            let (mut block, mut expected, mut is_sound) = (GET.to_vec(), String::new(), true);
            for _ in 0..noise.below(6) {
                let length = [1, 20, 700][noise.below(3)];
                let number = noise.below(9).to_string().repeat(length);
                let names = ["x-a", "x-b", "x-longer-name", "X-Bad", "", ":y"];
                let may_be_bad = malformed < 30 && noise.below(6) == 0;
                let name = names[noise.below(if may_be_bad { 6 } else { 3 })];
                let end = ["", " ", "\n"][noise.below(if may_be_bad { 3 } else { 1 })];
                let value = format!("{number}{end}");
                is_sound &= names[..3].contains(&name) && end.is_empty();
                expected += &format!("{name}: {value}\r\n");
                encoder.put(name, &value, noise, &mut block);
            }
            malformed += usize::from(!is_sound);
            let answer = client.ask(&block).await;
            assert_eq!(answer.is_some(), is_sound, "seed {seed}");
            let lines = answer.as_deref().unwrap_or_default().lines();
            let mut told: Vec<_> = lines.filter(|line| line.starts_with("x-")).collect();
            let mut sent: Vec<_> = expected.lines().collect();
            sent.sort_unstable();
            told.retain(|line| !line.starts_with("x-forwarded") && !line.starts_with("x-request"));
            told.sort_unstable();
            if is_sound {
                assert_eq!(told, sent, "seed {seed}");
            }
        }
    }
}
