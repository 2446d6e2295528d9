//! The requests, and what becomes of each.

const CHUNKED: &str = "2\r\nhi\r\n0\r\n\r\n";

/// What becomes of a request.
pub enum Fate {
    /// An answer of ours with this status, and the end. No whole request reaches the target.
    Refused(u16),
    /// Exactly this request line and this body reach the target, and the connection stays.
    Served(&'static str, &'static str),
    /// The same, and the connection closes after the answer.
    Last(&'static str, &'static str),
}

use Fate::{Last, Refused, Served};

const ROOT: Fate = Served("GET / HTTP/1.1", "");
const HI: Fate = Served("POST / HTTP/1.1", "hi");

fn get(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n").into()
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}").into()
}

fn chunks(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked", body)
}

fn coded(coding: &str) -> Vec<u8> {
    post(&format!("Transfer-Encoding: {coding}"), CHUNKED)
}

/// A request with this length, and a body of 2 bytes.
pub fn long(length: &str) -> Vec<u8> {
    post(&format!("Content-Length: {length}"), "hi")
}

/// A request with this request line.
pub fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into()
}

/// The length of the body.
pub fn lengths() -> Vec<(Vec<u8>, Fate)> {
    vec![
        (long("2"), HI),
        (long("002"), HI),
        (long("2\r\nContent-Length: 2"), Refused(400)),
        (long("2\r\nContent-Length: 3"), Refused(400)),
        (long("2, 2"), Refused(400)),
        (long("2,3"), Refused(400)),
        (long("2,"), Refused(400)),
        (long("2 2"), Refused(400)),
        (long("+2"), Refused(400)),
        (long("-1"), Refused(400)),
        (long("0x2"), Refused(400)),
        (long("2.0"), Refused(400)),
        (long(""), Refused(400)),
        (long("9223372036854775808"), Refused(400)),
        (long("18446744073709551615"), Refused(400)),
        (long("99999999999999999999"), Refused(400)),
        (long("2\r\nTransfer_Encoding: chunked"), HI),
        (long("2\r\nTransfer-Encoding : chunked"), Refused(400)),
        (post("Content-Length : 2", "hi"), Refused(400)),
        (post("Content_Length: 5\r\nContent-Length: 2", "hi"), HI),
    ]
}

/// The coding of the body.
pub fn codings() -> Vec<(Vec<u8>, Fate)> {
    vec![
        (coded("chunked"), HI),
        (coded("ChunKed"), HI),
        (coded("  chunked  "), HI),
        (coded("\tchunked\t"), HI),
        (coded("chunked, chunked"), Refused(400)),
        (coded("chunked\r\nTransfer-Encoding: chunked"), Refused(400)),
        (
            coded("chunked\r\nTransfer-Encoding: identity"),
            Refused(400),
        ),
        (
            coded("identity\r\nTransfer-Encoding: chunked"),
            Refused(400),
        ),
        (coded("gzip, chunked"), Refused(400)),
        (coded(", chunked"), Refused(400)),
        (coded("identity"), Refused(400)),
        (coded("xchunked"), Refused(400)),
        (coded("chunked;q=1"), Refused(400)),
        (coded("\"chunked\""), Refused(400)),
        (coded("\u{b}chunked"), Refused(400)),
        (coded(""), Refused(400)),
        (
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            Refused(400),
        ),
        // Pingora drops the length, and the connection is not used again: nobody reads by the other
        // one.
        (
            post("Content-Length: 2\r\nTransfer-Encoding: chunked", CHUNKED),
            Last("POST / HTTP/1.1", "hi"),
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 999", CHUNKED),
            Last("POST / HTTP/1.1", "hi"),
        ),
    ]
}

/// Chunks. Those that are sound are made anew for the target.
pub fn chunked_bodies() -> Vec<(Vec<u8>, Fate)> {
    vec![
        (chunks("2;a=\"b;c\"\r\nhi\r\n0;d\r\n\r\n"), HI),
        (chunks("0002\r\nhi\r\n000\r\n\r\n"), HI),
        (chunks("2 ; a = b\r\nhi\r\n0\r\n\r\n"), HI),
        // Trailers are read and dropped, whatever they say.
        (
            chunks("2\r\nhi\r\n0\r\nContent-Length: 5\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"),
            HI,
        ),
        (
            chunks("2\r\nhi\r\n0\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refused(400),
        ),
        (chunks("2\r\nhi\r\n0\r\ngarbage\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhi\r\n\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhi\r\n;a\r\n\r\n"), Refused(400)),
        (chunks("2 \r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2\t\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2;\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2;a\0\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2;a\nb\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2;a=\x01\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhi\r\n0 \r\n\r\n"), Refused(400)),
        (chunks("zz\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (
            chunks("fffffffffffffffff2\r\nhi\r\n0\r\n\r\n"),
            Refused(400),
        ),
        (chunks("ffffffffffffffff\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("-2\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("+2\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("0x2\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("0_2\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks(" 2\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2;a\rb\r\nhi\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhiX\r\n0\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhi0\r\n\r\n"), Refused(400)),
        (chunks("2\r\nhiXX0\r\n\r\n"), Refused(400)),
    ]
}

/// Whom the request is for, and which.
pub fn targets() -> Vec<(Vec<u8>, Fate)> {
    vec![
        (
            line("GET http://a/x HTTP/1.1"),
            Served("GET /x HTTP/1.1", ""),
        ),
        (
            line("GET http://b/x HTTP/1.1"),
            Served("GET /x HTTP/1.1", ""),
        ),
        (
            line("GET HTTP://[::1]:80?x HTTP/1.1"),
            Served("GET /?x HTTP/1.1", ""),
        ),
        (
            line("OPTIONS http://b HTTP/1.1"),
            Served("OPTIONS * HTTP/1.1", ""),
        ),
        (line("GET http://b,c/x HTTP/1.1"), Refused(400)),
        (line("GET http://b:99999/x HTTP/1.1"), Refused(400)),
        (line("GET http:///x HTTP/1.1"), Refused(400)),
        (line("GET http://a\\b/x HTTP/1.1"), Refused(400)),
        (b"GET http://a/x HTTP/1.1\r\n\r\n".into(), Refused(400)),
        (
            b"GET http://a/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(),
            Refused(400),
        ),
        (
            b"GET http://a/x HTTP/1.1\r\nHost: b\r\n c\r\n\r\n".into(),
            Refused(400),
        ),
        (line("GET /a#b HTTP/1.1"), Refused(400)),
        (line("GET /# HTTP/1.1"), Refused(400)),
        (line("GET # HTTP/1.1"), Refused(400)),
        (line("GET http://a#b HTTP/1.1"), Refused(400)),
        (line("GET http://user@a/x HTTP/1.1"), Refused(400)),
        (line("GET ftp://a/x HTTP/1.1"), Refused(400)),
        (line("GET //b/x HTTP/1.1"), Served("GET //b/x HTTP/1.1", "")),
        (line("OPTIONS * HTTP/1.1"), Served("OPTIONS * HTTP/1.1", "")),
        (line("GET * HTTP/1.1"), Refused(400)),
        (line("GET a HTTP/1.1"), Refused(400)),
        (line("GET \\a HTTP/1.1"), Refused(400)),
        (line("GET /a b HTTP/1.1"), Refused(400)),
        (line("GET /a HTTP/1.1 HTTP/1.1"), Refused(400)),
        (line("GET  / HTTP/1.1"), Refused(400)),
        (line("GET\t/ HTTP/1.1"), Refused(400)),
        (line("GET /a\0b HTTP/1.1"), Refused(400)),
        (line("GET /a\rb HTTP/1.1"), Refused(400)),
        (line("GET /a\u{7f}b HTTP/1.1"), Refused(400)),
        (get("X-A: b"), Refused(400)),
        (get("Host: a\r\nHost: a"), Refused(400)),
        (get("Host: a\r\nHost: b"), Refused(400)),
        (get("Host: a b"), Refused(400)),
        (get("Host: a, b"), Refused(400)),
        (get("Host: a/b"), Refused(400)),
        (get("Host: a#b"), Refused(400)),
        (get("Host: u@a"), Refused(400)),
        (get("Host: a:x"), Refused(400)),
        (get("Host: a:99999"), Refused(400)),
        (get("Host: \u{e4}"), Refused(400)),
        (get("Host : a"), Refused(400)),
        (b"GET / HTTP/1.0\r\n\r\n".into(), Last("GET / HTTP/1.1", "")),
        // Methods are compared as they are: it is another method.
        (line("get / HTTP/1.1"), Served("get / HTTP/1.1", "")),
        (line("G(T / HTTP/1.1"), Refused(400)),
        (b"GET /\r\n".into(), Refused(400)),
        (line("GET /"), Refused(400)),
        (line("GET / HTTP/1.2"), Refused(400)),
        (line("GET / HTTP/2.0"), Refused(400)),
        (line("GET / http/1.1"), Refused(400)),
        (line("GET / HTTP/1.10"), Refused(400)),
        (line("CONNECT a:80 HTTP/1.1"), Refused(405)),
        (
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\r\n\r\n".into(),
            Refused(400),
        ),
    ]
}

/// Lines of headers.
pub fn lines() -> Vec<(Vec<u8>, Fate)> {
    vec![
        (get("Host: a\r\nX-A: b\r\n c"), Refused(400)),
        (get("Host: a\r\nX-A: b\r\n\tc"), Refused(400)),
        (get(" Host: a\r\nHost: a"), Refused(400)),
        (get("Host: a\r\nX-A: b\rc"), Refused(400)),
        (get("Host: a\r\nX-A: b\r\r"), Refused(400)),
        (get("Host: a\r\nX\rA: b"), Refused(400)),
        (get("Host: a\r\nX-A: b\0c"), Refused(400)),
        (get("Host: a\r\nX\0A: b"), Refused(400)),
        (get("Host: a\r\nX-A: b\u{1}c"), Refused(400)),
        (get("Host: a\r\nX-A : b"), Refused(400)),
        (get("Host: a\r\nX-A\t: b"), Refused(400)),
        (get("Host: a\r\n: b"), Refused(400)),
        (get("Host: a\r\ngarbage"), Refused(400)),
        (get("Host: a\r\nX(A: b"), Refused(400)),
        // Lines that end in LF only are as good: they are written anew for the target.
        (b"GET / HTTP/1.1\nHost: a\n\n".into(), ROOT),
        (b"GET / HTTP/1.1\r\nHost: a\nX-A: b\n\r\n".into(), ROOT),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), ROOT),
        (
            get(&format!("Host: a\r\nX-A: {}", "b".repeat(70_000))),
            Refused(431),
        ),
        (
            get(&format!("Host: a{}", "\r\nX-A: b".repeat(100))),
            Refused(431),
        ),
        (
            line(&format!("GET /{} HTTP/1.1", "a".repeat(70_000))),
            Refused(431),
        ),
        (
            get("Host: a\r\nX_Forwarded_For: 1.2.3.4\r\nX-Forwarded_Proto: https"),
            ROOT,
        ),
        (
            get(
                "Host: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\nForwarded: for=1.2.3.4",
            ),
            ROOT,
        ),
        // What Connection names is not passed on, and what we set is not what it can name.
        (
            get("Host: a\r\nConnection: x-request-id, x-secret\r\nX-Secret: s"),
            ROOT,
        ),
        (
            get("Host: a\r\nConnection: close, x-forwarded-for"),
            Refused(400),
        ),
        (
            get("Host: a\r\nConnection: upgrade, x-forwarded-for"),
            Refused(400),
        ),
        (get("Host: a\r\nConnection: close, host"), Refused(400)),
        (
            post("Connection: content-length\r\nContent-Length: 2", "hi"),
            HI,
        ),
        (
            post(
                "Connection: transfer-encoding\r\nTransfer-Encoding: chunked",
                CHUNKED,
            ),
            HI,
        ),
        (
            get(
                "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA",
            ),
            ROOT,
        ),
        (
            post(
                "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2",
                "hi",
            ),
            HI,
        ),
        (
            post(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2",
                "hi",
            ),
            Refused(400),
        ),
    ]
}
