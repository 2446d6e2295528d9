//! Which subprotocols a handshake may ask for (RFC 6455 section 1.9): the Sec-WebSocket-Protocol
//! header against a list.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

/// The subprotocols that are allowed.
#[derive(Debug)]
pub struct Subprotocols(Box<[String]>);

/// What is left of those that a handshake asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    /// All that are asked for, possibly none.
    Whole,
    /// Some of those that are asked for: the header that is left.
    Part(HeaderValue),
    /// Not one, though it asks for some.
    Nothing,
}

impl Subprotocols {
    /// These; they compare with regard to case.
    pub fn new(allowed: &[String]) -> Self {
        Subprotocols(allowed.into())
    }

    /// What is left of those in these headers.
    pub fn offer(&self, headers: &HeaderMap) -> Offer {
        let (mut left, mut is_whole) = (Vec::new(), true);
        for name in asked(headers) {
            if self.0.iter().any(|allowed| allowed.as_bytes() == name) {
                left.push(name);
            } else {
                is_whole = false;
            }
        }
        match (is_whole, left.is_empty()) {
            (true, _) => Offer::Whole,
            (false, true) => Offer::Nothing,
            (false, false) => {
                let left = HeaderValue::from_bytes(&left.join(b", ".as_slice()));
                left.map_or(Offer::Nothing, Offer::Part)
            }
        }
    }
}

fn asked(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::headers;
    use super::*;

    #[test]
    fn what_is_not_allowed_is_left_out() {
        let allowed = Subprotocols::new(&["chat.v2".into(), "chat.v1".into()]);
        let name = "Sec-WebSocket-Protocol";
        let part = |text| Offer::Part(HeaderValue::from_static(text));
        for (lines, expected) in [
            (vec![], Offer::Whole),
            (vec![""], Offer::Whole),
            (vec!["chat.v1"], Offer::Whole),
            (vec!["chat.v1,chat.v2"], Offer::Whole),
            (vec!["chat.v1, admin , chat.v2"], part("chat.v1, chat.v2")),
            (vec!["admin", "chat.v1"], part("chat.v1")),
            (vec!["admin, root"], Offer::Nothing),
            (vec!["CHAT.V1"], Offer::Nothing),
            (vec!["chat.v10"], Offer::Nothing),
        ] {
            let lines: Vec<_> = lines.into_iter().map(|line| (name, line)).collect();
            assert_eq!(allowed.offer(&headers(&lines)), expected, "{lines:?}");
        }
    }
}
