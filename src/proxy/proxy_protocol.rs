//! What a target hears of the client before the first byte of a request, where it wants that: a
//! header of the PROXY protocol (<https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>).
//!
//! A connection that begins with one is its client's, and carries nothing for any other.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

use crate::config::model::ProxyProtocol;
use crate::telemetry::{Client, TlsSession};

/// `PP2_CLIENT_SSL`: the client came over TLS.
const OVER_TLS: u8 = 1;
/// `PP2_CLIENT_CERT_SESS`: it has shown a certificate in this session.
const WITH_CERTIFICATE: u8 = 4;
/// Whether the client has shown a certificate that is valid.
const VERIFIED: [u8; 4] = [0, 0, 0, 0];
const NOT_VERIFIED: [u8; 4] = [0, 0, 0, 1];

/// The header for a client that came to this address, over this TLS of ours, or of a proxy's where
/// it `is_secure` without; empty if none is wanted. A port that is not known is 0.
pub(super) fn header(
    version: Option<ProxyProtocol>,
    client: Client,
    local: SocketAddr,
    tls: Option<&TlsSession>,
    is_secure: bool,
) -> Vec<u8> {
    let client = SocketAddr::new(client.ip, client.port.unwrap_or(0));
    let ends = of_one_family(client, local);
    match version {
        None => Vec::new(),
        Some(ProxyProtocol::V1) => v1::Addresses::from(ends).to_string().into_bytes(),
        Some(ProxyProtocol::V2) => binary(ends, &[]),
        Some(ProxyProtocol::V2Ssl) => binary(ends, &ssl(tls, is_secure)),
    }
}

/// The value of `PP2_TYPE_SSL`: whether there is TLS, and which.
fn ssl(tls: Option<&TlsSession>, is_secure: bool) -> Vec<u8> {
    let certificate = tls.and_then(|tls| tls.client_certificate.as_ref());
    let certificate = certificate.filter(|one| one.fingerprint.is_some());
    let shown = certificate.map_or(0, |_| WITH_CERTIFICATE);
    let is_tls = is_secure || tls.is_some();
    let mut ssl = vec![if is_tls { OVER_TLS | shown } else { 0 }];
    ssl.extend(match certificate.map(|one| one.verify) {
        Some("SUCCESS") => VERIFIED,
        _ => NOT_VERIFIED,
    });
    if let Some(tls) = tls {
        let (version, cipher) = (tls.protocol.as_bytes(), tls.cipher.as_bytes());
        for (kind, value) in [
            (v2::Type::SSLVersion, version),
            (v2::Type::SSLCipher, cipher),
        ] {
            ssl.extend([kind.into(), 0, u8::try_from(value.len()).unwrap_or(0)]);
            ssl.extend_from_slice(value);
        }
    }
    ssl
}

fn binary(ends: (SocketAddr, SocketAddr), ssl: &[u8]) -> Vec<u8> {
    let command = v2::Version::Two | v2::Command::Proxy;
    let header = v2::Builder::with_addresses(command, v2::Protocol::Stream, ends);
    let header = match ssl {
        [] => header.build(),
        ssl => header
            .write_tlv(v2::Type::SSL, ssl)
            .and_then(v2::Builder::build),
    };
    header.expect("a header far shorter than 64 KiB")
}

/// The protocol has one family for both: an IPv4 address beside one of IPv6 is told in its IPv6
/// form.
fn of_one_family(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    if client.is_ipv4() == local.is_ipv4() {
        return (client, local);
    }
    (in_ipv6(client), in_ipv6(local))
}

fn in_ipv6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ClientCertificate;

    fn client(address: &str) -> Client {
        address.parse::<SocketAddr>().unwrap().into()
    }

    fn line(from: Client, to: &str) -> String {
        let header = header(
            Some(ProxyProtocol::V1),
            from,
            to.parse().unwrap(),
            None,
            false,
        );
        String::from_utf8(header).unwrap()
    }

    #[test]
    fn version_1_is_a_line_of_addresses_of_one_family() {
        for (from, to, expected) in [
            (
                "192.0.2.1:4711",
                "198.51.100.1:80",
                "TCP4 192.0.2.1 198.51.100.1 4711 80",
            ),
            (
                "[2001:db8::1]:4711",
                "[::1]:80",
                "TCP6 2001:db8::1 ::1 4711 80",
            ),
            ("192.0.2.1:1", "[::1]:80", "TCP6 ::ffff:192.0.2.1 ::1 1 80"),
            (
                "[2001:db8::1]:1",
                "198.51.100.1:80",
                "TCP6 2001:db8::1 ::ffff:198.51.100.1 1 80",
            ),
        ] {
            assert_eq!(line(client(from), to), format!("PROXY {expected}\r\n"));
        }
        let portless = Client {
            port: None,
            ..client("192.0.2.1:4711")
        };
        let expected = "PROXY TCP4 192.0.2.1 198.51.100.1 0 80\r\n";
        assert_eq!(line(portless, "198.51.100.1:80"), expected);
    }

    #[test]
    fn version_2_is_binary_and_may_tell_of_tls() {
        let header = |version| {
            let local = "198.51.100.1:80".parse().unwrap();
            header(version, client("192.0.2.1:4711"), local, None, false)
        };
        let begin = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
        let ends = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
        let v2 = [&begin[..], &[0, 12], &ends].concat();
        assert_eq!(header(Some(ProxyProtocol::V2)), v2);
        let ssl = [0x20, 0, 5, 0, 0, 0, 0, 1];
        let v2ssl = [&begin[..], &[0, 20], &ends, &ssl].concat();
        assert_eq!(header(Some(ProxyProtocol::V2Ssl)), v2ssl);
        assert!(header(None).is_empty());
    }

    #[test]
    fn the_tls_of_a_client_is_told_with_its_version_and_cipher() {
        let tls = TlsSession {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            server_name: None,
            client_certificate: None,
        };
        let version = [&[0x21, 0, 7][..], b"TLSv1.3"].concat();
        let cipher = [&[0x23, 0, 22][..], b"TLS_AES_128_GCM_SHA256"].concat();
        let expected = [&[1, 0, 0, 0, 1][..], &version, &cipher].concat();
        assert_eq!(ssl(Some(&tls), true), expected);
        assert_eq!(ssl(None, false), [0, 0, 0, 0, 1]);
        assert_eq!(ssl(None, true), [1, 0, 0, 0, 1], "of a proxy's TLS");
        for (verify, flags) in [
            ("SUCCESS", [5, 0, 0, 0, 0]),
            ("FAILED:expired", [5, 0, 0, 0, 1]),
        ] {
            let certificate = ClientCertificate {
                verify,
                subject: None,
                fingerprint: Some(String::new()),
            };
            let tls = TlsSession {
                client_certificate: Some(certificate),
                ..TlsSession::default()
            };
            assert_eq!(ssl(Some(&tls), true)[..5], flags);
        }
        let tls = TlsSession {
            client_certificate: Some(ClientCertificate::NONE),
            ..TlsSession::default()
        };
        assert_eq!(ssl(Some(&tls), true)[..5], [1, 0, 0, 0, 1]);
    }
}
