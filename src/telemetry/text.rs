//! Numbers and addresses as text, written without the machinery of `fmt`: a line of the access log
//! has a dozen of them.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A whole number.
pub(super) fn push_number(text: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[start..]);
}

/// Milliseconds with three decimals, rounded.
pub(super) fn push_millis(text: &mut Vec<u8>, value: Duration) {
    let micros = (value.as_nanos() + 500) / 1000;
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    push_number(text, micros / 1000);
    let rest = (micros % 1000) as u16;
    text.push(b'.');
    text.extend([100, 10, 1].map(|unit| b'0' + (rest / unit % 10) as u8));
}

/// An IP address.
pub(super) fn push_ip(text: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            push_number(text, first.into());
            for octet in rest {
                text.push(b'.');
                push_number(text, octet.into());
            }
        }
        IpAddr::V6(ip) => write!(text, "{ip}").expect("an address into memory"),
    }
}

/// An address with its port.
pub(super) fn push_address(text: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(_) => {
            push_ip(text, address.ip());
            text.push(b':');
            push_number(text, address.port().into());
        }
        SocketAddr::V6(_) => write!(text, "{address}").expect("an address into memory"),
    }
}

/// A string as JSON has it (RFC 8259 section 7), with every control character escaped: also those
/// that a terminal heeds and JSON lets stand.
pub(super) fn push_string(text: &mut Vec<u8>, value: &str) {
    text.push(b'"');
    let is_itself = |byte: u8| matches!(byte, b' '..=b'~') & !matches!(byte, b'"' | b'\\');
    // Without an early end it is done for many bytes at once.
    if value.bytes().fold(true, |all, byte| all & is_itself(byte)) {
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
        return;
    }
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend([b'\\', character as u8]),
            _ if character.is_control() => {
                write!(text, "\\u{:04x}", u32::from(character)).expect("a number into memory");
            }
            _ => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    text.push(b'"');
}

/// An IP address, as a header's value has it.
pub fn ip_text(ip: IpAddr) -> Vec<u8> {
    let mut text = Vec::with_capacity("255.255.255.255".len());
    push_ip(&mut text, ip);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed<T>(push: fn(&mut Vec<u8>, T), value: T) -> String {
        let mut text = Vec::new();
        push(&mut text, value);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_text_is_that_of_the_standard_library() {
        for value in [0, 7, 10, 1009, u64::MAX] {
            assert_eq!(pushed(push_number, value), value.to_string());
        }
        for ip in ["0.0.0.0", "192.0.2.7", "255.255.255.255", "2001:db8::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(pushed(push_ip, ip), ip.to_string());
            let address = SocketAddr::new(ip, 8080);
            assert_eq!(pushed(push_address, address), address.to_string());
        }
    }

    #[test]
    fn milliseconds_have_three_decimals_and_are_rounded() {
        for (nanos, text) in [
            (0, "0.000"),
            (499, "0.000"),
            (500, "0.001"),
            (1_500_000, "1.500"),
            (999_999_500, "1000.000"),
            (3_600_000_012_345, "3600000.012"),
        ] {
            assert_eq!(pushed(push_millis, Duration::from_nanos(nanos)), text);
        }
        assert!(pushed(push_millis, Duration::MAX).ends_with(".615"));
    }
}
