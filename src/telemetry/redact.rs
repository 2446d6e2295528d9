//! Keeps secrets out of logs: browsers cannot set headers on a WebSocket, so tokens travel in the query.
//!
//! The names follow Azure's Application Gateway for Containers, with the spellings of OAuth added. A name counts
//! however it is written: in any case, with dashes or underscores, percent-encoded.

const SECRET: [&str; 20] = [
    "secret",
    "clientsecret",
    "password",
    "pwd",
    "passwd",
    "key",
    "apikey",
    "token",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "pat",
    "personalaccesstoken",
    "accesskey",
    "credential",
    "sas",
    "sig",
    "signature",
    "jwt",
    "auth",
];

/// What is kept out: the parameters that are known as secrets, and more.
#[derive(Debug, Default)]
pub struct Redaction {
    more: Box<[String]>,
}

impl Redaction {
    /// With more names, in whatever way they are written.
    pub fn with<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Redaction {
            more: names.into_iter().map(plain).collect(),
        }
    }

    /// Replaces the value of every secret parameter of a request target's or an address's query by `<redacted>`.
    pub fn redact(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else {
            return target.to_owned();
        };
        let mut redacted = String::with_capacity(target.len());
        redacted.push_str(path);
        let mut separator = '?';
        for parameter in query.split('&') {
            redacted.push(separator);
            separator = '&';
            match parameter.split_once('=') {
                Some((name, _)) if self.is_secret(name) => {
                    redacted.push_str(name);
                    redacted.push_str("=<redacted>");
                }
                Some(_) | None => redacted.push_str(parameter),
            }
        }
        redacted
    }

    fn is_secret(&self, name: &str) -> bool {
        let plain = plain(name);
        SECRET.contains(&plain.as_str()) || self.more.contains(&plain)
    }
}

/// A name without what differs between its spellings.
fn plain(name: &str) -> String {
    decoded(name)
        .filter(|byte| !matches!(byte, b'-' | b'_' | b'.'))
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// The bytes of a name with its percent-encoding (RFC 3986 section 2.1) undone; a broken encoding stands as it is.
fn decoded(name: &str) -> impl Iterator<Item = u8> {
    let mut rest = name.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        let encoded = (first == b'%').then(|| tail.get(..2)).flatten();
        let digits = encoded.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                rest = &tail[2..];
                Some(byte)
            }
            None => Some(first),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_however_they_are_written() {
        for (target, expected) in [
            ("/chat", "/chat"),
            ("/chat?room=1", "/chat?room=1"),
            ("/chat?token=abc", "/chat?token=<redacted>"),
            (
                "/chat?room=1&Access_Token=a=b&x",
                "/chat?room=1&Access_Token=<redacted>&x",
            ),
            ("/chat?%74oken=abc", "/chat?%74oken=<redacted>"),
            ("/?api-key=1&monkey=2", "/?api-key=<redacted>&monkey=2"),
            ("/?%zz=1&%=2&token", "/?%zz=1&%=2&token"),
            ("http://e/?a=1?password=2", "http://e/?a=1?password=2"),
            ("/?%f=1&%74%6Fken=ü", "/?%f=1&%74%6Fken=<redacted>"),
        ] {
            assert_eq!(Redaction::default().redact(target), expected);
        }
    }

    #[test]
    fn more_names_are_redacted_beside_those_that_are_known() {
        let redaction = Redaction::with(["Session-Id", "otp"]);
        assert_eq!(
            redaction.redact("/?sessionid=1&session=2&OTP=3&token=4"),
            "/?sessionid=<redacted>&session=2&OTP=<redacted>&token=<redacted>"
        );
    }
}
