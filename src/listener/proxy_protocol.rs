//! The header of the PROXY protocol that a load balancer in front puts before all else: who the
//! client is.
//!
//! The specification is <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>. The header
//! is looked at in the socket before it is taken out, so that exactly its bytes are: what follows
//! is HTTP's, or TLS's. Where it ends is found here, what it says is read by the crate.

use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest line of version 1.
const LONGEST_V1: usize = 107;
/// The longest header that is taken: version 2 has room for much more, but nobody uses it.
const LONGEST_V2: usize = 4096;
/// The part of a version 2 header that tells how long the rest is.
const FIXED_V2: usize = 16;
const COMMAND: usize = 12;
const LOCAL: u8 = 0x20;
/// How much of the socket is looked at.
const LOOK: usize = 512;

/// A header, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Header {
    bytes: Vec<u8>,
}

/// `PP2_CLIENT_SSL`: the client came over TLS.
const OVER_TLS: u8 = 1;

/// What a header says: where the client is, where it went, and whether over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proxied {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) is_tls: bool,
}

/// Why there is no valid header, in a few words.
pub(super) type Fault = &'static str;

const CLOSED: Fault = "closed before the PROXY protocol's header was complete";
const BROKEN: Fault = "broken before the PROXY protocol's header was complete";
const MISSING: Fault = "no header of the PROXY protocol";
const TOO_LONG: Fault = "the PROXY protocol's header is too long";
const MALFORMED: Fault = "the PROXY protocol's header is malformed";
const NOT_TCP: Fault = "the PROXY protocol's header is not of a TCP connection";

impl Header {
    /// Reads a header, and not a byte more; `None` where it says nothing of a client: the sender's
    /// own connections, and `UNKNOWN` ones.
    pub(super) async fn read(&mut self, stream: &mut TcpStream) -> Result<Option<Proxied>, Fault> {
        let mut next = [0; LOOK];
        loop {
            let count = stream.peek(&mut next).await.map_err(|_| BROKEN)?;
            if count == 0 {
                return Err(CLOSED);
            }
            let before = self.bytes.len();
            self.bytes.extend_from_slice(&next[..count]);
            let end = length(&self.bytes);
            if let Ok(Some(end)) = end {
                self.bytes.truncate(end);
            }
            let taken = &mut next[..self.bytes.len() - before];
            stream.read_exact(taken).await.map_err(|_| BROKEN)?;
            if end? == Some(self.bytes.len()) {
                return parse(&self.bytes);
            }
        }
    }

    /// How many bytes have come, of a header or of what was there instead of one.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// How long the header is that begins with these bytes; `None` where they do not tell yet.
fn length(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    if begin_like(bytes, v2::PROTOCOL_PREFIX) {
        let rest = bytes.get(FIXED_V2 - 2..).and_then(<[u8]>::first_chunk);
        let length = rest.map(|rest| FIXED_V2 + usize::from(u16::from_be_bytes(*rest)));
        return within(LONGEST_V2, length);
    }
    if begin_like(bytes, b"PROXY ") {
        let end = memchr::memchr(b'\n', bytes).map(|end| end + 1);
        return within(
            LONGEST_V1,
            end.or((bytes.len() > LONGEST_V1).then_some(bytes.len())),
        );
    }
    Err(MISSING)
}

fn within(most: usize, length: Option<usize>) -> Result<Option<usize>, Fault> {
    match length {
        Some(length) if length > most => Err(TOO_LONG),
        length => Ok(length),
    }
}

fn begin_like(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, sign)| byte == sign)
}

/// Reads a whole header.
fn parse(header: &[u8]) -> Result<Option<Proxied>, Fault> {
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        parse_v2(header)
    } else {
        parse_v1(header)
    }
}

fn parse_v1(header: &[u8]) -> Result<Option<Proxied>, Fault> {
    let header = v1::Header::try_from(header).map_err(|_| MALFORMED)?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(tcp) => Some(Proxied::new(
            (tcp.source_address, tcp.source_port),
            (tcp.destination_address, tcp.destination_port),
        )),
        v1::Addresses::Tcp6(tcp) => Some(Proxied::new(
            (tcp.source_address, tcp.source_port),
            (tcp.destination_address, tcp.destination_port),
        )),
    })
}

fn parse_v2(header: &[u8]) -> Result<Option<Proxied>, Fault> {
    // What else is in a header of the sender's own connection does not count.
    if header.get(COMMAND) == Some(&LOCAL) {
        return Ok(None);
    }
    let header = v2::Header::try_from(header).map_err(|_| MALFORMED)?;
    let proxied = match (header.protocol, header.addresses) {
        (v2::Protocol::Unspecified, v2::Addresses::Unspecified) => return Ok(None),
        (v2::Protocol::Stream, v2::Addresses::IPv4(tcp)) => Proxied::new(
            (tcp.source_address, tcp.source_port),
            (tcp.destination_address, tcp.destination_port),
        ),
        (v2::Protocol::Stream, v2::Addresses::IPv6(tcp)) => Proxied::new(
            (tcp.source_address, tcp.source_port),
            (tcp.destination_address, tcp.destination_port),
        ),
        _ => return Err(NOT_TCP),
    };
    let is_tls = tells_tls(&header);
    Ok(Some(Proxied { is_tls, ..proxied }))
}

/// Whether the value of `PP2_TYPE_SSL` says that the client came over TLS. What cannot be read says
/// nothing.
fn tells_tls(header: &v2::Header<'_>) -> bool {
    let mut values = header.tlvs().map_while(Result::ok);
    let ssl = values.find(|value| value.kind == u8::from(v2::Type::SSL));
    let flags = ssl.and_then(|ssl| ssl.value.first().copied());
    flags.is_some_and(|flags| flags & OVER_TLS != 0)
}

impl Proxied {
    fn new(client: impl Into<SocketAddr>, local: impl Into<SocketAddr>) -> Self {
        Proxied {
            client: canonical(client.into()),
            local: canonical(local.into()),
            is_tls: false,
        }
    }
}

/// The address in its IPv4 form, where it is an IPv4 address in its IPv6 form.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, payload].concat()
    }

    fn line(text: &str) -> Vec<u8> {
        format!("{text}\r\n").into_bytes()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB];

    fn ipv6() -> Vec<u8> {
        let address = |last| [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        [&address(1)[..], &address(2), &[0x12, 0x67, 0x01, 0xBB]].concat()
    }

    fn proxied(client: &str, local: &str) -> Option<Proxied> {
        Some(Proxied::new(
            client.parse::<SocketAddr>().unwrap(),
            local.parse::<SocketAddr>().unwrap(),
        ))
    }

    /// What is read when the bytes come in two packets; whatever follows must still be there.
    async fn read(first: &[u8], second: &[u8], follows: &[u8]) -> Result<Option<Proxied>, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap());
        let mut sender = sender.await.unwrap();
        sender.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut header = Header::default();
        let (result, ()) = tokio::join!(header.read(&mut stream), async {
            sender.write_all(first).await.unwrap();
            tokio::task::yield_now().await;
            sender.write_all(&[second, follows].concat()).await.unwrap();
            sender.shutdown().await.unwrap();
        });
        if result.is_ok() {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, follows);
            assert_eq!(header.len(), first.len() + second.len());
        }
        result
    }

    #[tokio::test]
    async fn a_header_is_read_however_it_is_cut_and_nothing_beyond_it() {
        let v4 = proxied("192.0.2.1:4711", "198.51.100.1:443");
        let v6 = proxied("[2001:db8::1]:4711", "[2001:db8::2]:443");
        let secure = v4.map(|v4| Proxied { is_tls: true, ..v4 });
        let ssl = |flags| [0x20, 0, 5, flags, 0, 0, 0, 1];
        let tlv = [0x05, 0, 2, b'i', b'd'];
        let long = [0x04, 0x0F, 0x80].into_iter().chain([0; 0x0F80]);
        let long: Vec<u8> = IPV4.into_iter().chain(long).collect();
        for (header, expected) in [
            (line("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443"), v4),
            (line("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443"), v6),
            (
                line("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 4711 443"),
                v4,
            ),
            (line("PROXY UNKNOWN"), None),
            (line("PROXY UNKNOWN ffff:: ffff:: 65535 65535"), None),
            (v2(0x21, 0x11, &IPV4), v4),
            (v2(0x21, 0x21, &ipv6()), v6),
            (v2(0x21, 0x11, &[&IPV4[..], &tlv].concat()), v4),
            (v2(0x21, 0x11, &long), v4),
            (v2(0x21, 0x11, &[&IPV4[..], &ssl(0)].concat()), v4),
            (v2(0x21, 0x11, &[&IPV4[..], &tlv, &ssl(1)].concat()), secure),
            (
                v2(0x21, 0x11, &[&IPV4[..], &tlv, &ssl(1)[..4]].concat()),
                v4,
            ),
            (v2(0x21, 0x11, &[&IPV4[..], &[0x20, 0, 0]].concat()), v4),
            (v2(0x20, 0x11, &[&IPV4[..], &ssl(1)].concat()), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &IPV4), None),
            (v2(0x20, 0x31, &tlv), None),
        ] {
            for cut in (0..header.len()).take(120) {
                let (first, second) = header.split_at(cut);
                let result = read(first, second, b"PROXY GET / HTTP/1.1\r\n").await;
                assert_eq!(result, Ok(expected), "{header:?} cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_a_valid_header_is_refused() {
        let unix = vec![b'/'; 216];
        for (bytes, fault) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), MISSING),
            (b"P".to_vec(), CLOSED),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), MISSING),
            (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), MISSING),
            (line("PROXYTCP4 192.0.2.1 198.51.100.1 4711 443"), MISSING),
            (line("proxy TCP4 192.0.2.1 198.51.100.1 4711 443"), MISSING),
            (line("PROXY TCP4 192.0.2.1 198.51.100.1 4711"), MALFORMED),
            (
                line("PROXY TCP4 192.0.2.1 198.51.100.1 4711 65536"),
                MALFORMED,
            ),
            (
                line("PROXY TCP4 192.0.2.1 198.51.100.1 04711 443"),
                MALFORMED,
            ),
            (
                line("PROXY TCP4 192.0.2.256 198.51.100.1 4711 443"),
                MALFORMED,
            ),
            (
                line("PROXY TCP4 2001:db8::1 2001:db8::2 4711 443"),
                MALFORMED,
            ),
            (
                line("PROXY TCP6 192.0.2.1 198.51.100.1 4711 443"),
                MALFORMED,
            ),
            (
                line("PROXY UDP4 192.0.2.1 198.51.100.1 4711 443"),
                MALFORMED,
            ),
            (
                line("PROXY  TCP4 192.0.2.1 198.51.100.1 4711 443"),
                MALFORMED,
            ),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n".to_vec(),
                MALFORMED,
            ),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 47\xFF1 443\r\n".to_vec(),
                MALFORMED,
            ),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r".to_vec(),
                CLOSED,
            ),
            (line(&format!("PROXY UNKNOWN {}", "f".repeat(92))), TOO_LONG),
            (
                format!("PROXY UNKNOWN {}", "f".repeat(200)).into_bytes(),
                TOO_LONG,
            ),
            (v2(0x11, 0x11, &IPV4), MALFORMED),
            (v2(0x22, 0x11, &IPV4), MALFORMED),
            (v2(0x21, 0x41, &IPV4), MALFORMED),
            (v2(0x21, 0x13, &IPV4), MALFORMED),
            (v2(0x21, 0x11, &IPV4[..11]), MALFORMED),
            (v2(0x21, 0x21, &IPV4), MALFORMED),
            (v2(0x21, 0x12, &IPV4), NOT_TCP),
            (v2(0x21, 0x10, &IPV4), NOT_TCP),
            (v2(0x21, 0x31, &unix), NOT_TCP),
            (v2(0x21, 0x11, &IPV4)[..20].to_vec(), CLOSED),
            (v2(0x21, 0x11, &IPV4)[..13].to_vec(), CLOSED),
            (v2(0x21, 0x11, &[0; 4081]), TOO_LONG),
        ] {
            let result = read(&bytes, b"", b"").await;
            assert_eq!(result, Err(fault), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
