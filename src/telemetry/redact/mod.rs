//! Keeps secrets out of logs: browsers cannot set headers on a WebSocket, so tokens travel in the
//! query.
//!
//! A parameter is secret by its name, in whatever way that is written: `auth_token`,
//! `sessionToken`, `X-Amz-Signature`, `token[]`, percent-encoded. A name is taken apart into words,
//! at whatever is no letter and where capitals begin; what is not one of the words is not secret:
//! `monkey` is no key. The user of a URI (`http://user:password@host`) is one, too.

use std::borrow::Cow;
use std::ops::Range;

mod name;

use name::Name;

/// What is in the place of a secret.
const REDACTED: &str = "<redacted>";

/// What is kept out: the parameters that are known as secrets, and more.
#[derive(Debug, Default)]
pub struct Redaction {
    more: Box<[Box<[u8]>]>,
}

impl Redaction {
    /// With more names, in whatever way they are written.
    pub fn with<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Redaction {
            more: names
                .into_iter()
                .map(name::plain)
                .filter(|name| !name.is_empty())
                .collect(),
        }
    }

    /// A request target or an address with `<redacted>` in the place of each secret.
    pub fn redact<'a>(&self, target: &'a str) -> Cow<'a, str> {
        self.replace(target, false)
    }

    /// Redacts a text that may have addresses in it.
    pub fn redact_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, true)
    }

    fn replace<'a>(&self, text: &'a str, is_prose: bool) -> Cow<'a, str> {
        let secrets = Secrets {
            redaction: self,
            text: text.as_bytes(),
            is_prose,
            at: 0,
            name: is_prose.then_some(0),
            has_query: false,
        };
        let (mut redacted, mut done) = (String::new(), 0);
        for secret in secrets {
            redacted.push_str(&text[done..secret.start]);
            redacted.push_str(REDACTED);
            done = secret.end;
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        redacted.push_str(&text[done..]);
        Cow::Owned(redacted)
    }

    fn is_secret(&self, name: &[u8]) -> bool {
        let name = Name::new(name);
        name.is_secret() || self.more.iter().any(|more| name.ends_with(more))
    }
}

/// Where the secrets of a text are, from its beginning to its end. They begin and end beside ASCII.
struct Secrets<'a> {
    redaction: &'a Redaction,
    text: &'a [u8],
    /// Whether the text is more than an address: then an address ends where a word does.
    is_prose: bool,
    at: usize,
    /// Where the name began that is being read.
    name: Option<usize>,
    /// Whether the path is over.
    has_query: bool,
}

/// What a place in a text is.
enum Mark {
    /// A name may begin after it.
    Separator,
    /// The path ends, and a name may begin.
    Query,
    /// A name ends, and its value begins.
    Equals,
    /// A host follows, perhaps with a user before it.
    Authority,
    /// A word of prose ends.
    Blank,
}

impl Iterator for Secrets<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while self.at < self.text.len() {
            let place = self.at;
            let Some((mark, length)) = self.mark() else {
                self.at += 1;
                continue;
            };
            self.at += length;
            let secret = match mark {
                Mark::Equals => self.value(place, length > 1),
                Mark::Authority => self.user(length > 3),
                Mark::Separator | Mark::Query | Mark::Blank => {
                    self.has_query |= matches!(mark, Mark::Query);
                    self.has_query &= !matches!(mark, Mark::Blank);
                    self.name = Some(self.at);
                    None
                }
            };
            if let Some(secret) = secret {
                self.at = secret.end;
                return Some(secret);
            }
        }
        None
    }
}

impl Secrets<'_> {
    /// What is at the present place, and how long it is: an address within another's parameter is
    /// percent-encoded.
    fn mark(&self) -> Option<(Mark, usize)> {
        let rest = &self.text[self.at..];
        Some(match rest[0] {
            b'&' | b';' => (Mark::Separator, 1),
            b'?' | b'#' => (Mark::Query, 1),
            b'=' => (Mark::Equals, 1),
            b':' if rest.starts_with(b"://") => (Mark::Authority, 3),
            b'%' if is_authority(rest) => (Mark::Authority, 9),
            b'%' => match rest.get(1..3)? {
                b"26" | [b'3', b'b' | b'B'] => (Mark::Separator, 3),
                b"23" | [b'3', b'f' | b'F'] => (Mark::Query, 3),
                [b'3', b'd' | b'D'] => (Mark::Equals, 3),
                _ => return None,
            },
            byte if self.is_prose && is_blank(byte) => (Mark::Blank, 1),
            _ => return None,
        })
    }

    /// The value that begins here, if the name before it is that of a secret. Of doubtful ends it
    /// is the last: what follows may belong to the secret.
    fn value(&mut self, name_end: usize, is_encoded: bool) -> Option<Range<usize>> {
        let name = self.name.take()?;
        if !self.redaction.is_secret(&self.text[name..name_end]) {
            return None;
        }
        let rest = &self.text[self.at..];
        let is_end = |(place, byte): (usize, &u8)| match byte {
            b'&' => true,
            b'/' | b'?' | b'#' => !self.has_query,
            b'%' => is_encoded && rest[place..].starts_with(b"%26"),
            byte => self.is_prose && is_blank(*byte),
        };
        let length = rest.iter().enumerate().position(is_end);
        Some(self.at..self.at + length.unwrap_or(rest.len()))
    }

    /// The user, with the password, of the host that begins here.
    fn user(&self, is_encoded: bool) -> Option<Range<usize>> {
        let mut user = None;
        for (place, byte) in self.text.iter().enumerate().skip(self.at) {
            let code = self.text[place..].get(1..3).unwrap_or_default();
            match (byte, code) {
                (b'@', _) => user = Some(place),
                (b'/' | b'?' | b'#', _) => break,
                (b'%', b"40") if is_encoded => user = Some(place),
                (b'%', b"2F" | b"2f" | b"3F" | b"3f" | b"23" | b"26") if is_encoded => break,
                (b'&', _) if is_encoded => break,
                (byte, _) if is_blank(*byte) => break,
                _ => {}
            }
        }
        user.map(|end| self.at..end)
    }
}

/// Whether it begins with `://`, percent-encoded.
fn is_authority(text: &[u8]) -> bool {
    let begins = text.get(..9);
    begins.is_some_and(|text| text.eq_ignore_ascii_case(b"%3A%2F%2F"))
}

/// What is in no address.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_wherever_they_are_in_a_target() {
        for (target, expected) in [
            ("/chat?token=abc", "/chat?token=<redacted>"),
            (
                "/chat?room=1&Access_Token=a=b&x",
                "/chat?room=1&Access_Token=<redacted>&x",
            ),
            ("/chat?%74oken=abc", "/chat?%74oken=<redacted>"),
            ("/?%f=1&%74%6Fken=ü", "/?%f=1&%74%6Fken=<redacted>"),
            (
                "http://e/?a=1?password=2",
                "http://e/?a=1?password=<redacted>",
            ),
            ("/?a=1;sid=2&b=3", "/?a=1;sid=<redacted>&b=3"),
            ("/a;jsessionid=1/b?c=2", "/a;jsessionid=<redacted>/b?c=2"),
            (
                "http://e/#access_token=1&state=2",
                "http://e/#access_token=<redacted>&state=2",
            ),
            ("http://e/#/cb?token=1", "http://e/#/cb?token=<redacted>"),
            (
                "/?token[]=1&user[password]=2",
                "/?token[]=<redacted>&user[password]=<redacted>",
            ),
            ("/?token%5B%5D=1", "/?token%5B%5D=<redacted>"),
            // It may belong to the secret.
            ("/?token=a;b?c#d/e&f=1", "/?token=<redacted>&f=1"),
            (
                "/?next=http%3A%2F%2Fe%3Ftoken%3Da%26b%3Dc&d",
                "/?next=http%3A%2F%2Fe%3Ftoken%3D<redacted>%26b%3Dc&d",
            ),
            ("/?token=a%26b&c", "/?token=<redacted>&c"),
            ("http://me:word@e/a@b", "http://<redacted>@e/a@b"),
            ("http://a@b@e:1?x=y@z", "http://<redacted>@e:1?x=y@z"),
            (
                "/go?to=wss%3a%2F%2Fme%3Aword%40e%2f%40&b=@",
                "/go?to=wss%3a%2F%2F<redacted>%40e%2f%40&b=@",
            ),
            (
                "/go?to=ws://me@e&token=1",
                "/go?to=ws://<redacted>@e&token=<redacted>",
            ),
        ] {
            assert_eq!(Redaction::default().redact(target), expected);
        }
    }

    #[test]
    fn what_holds_no_secret_is_not_even_copied() {
        for target in [
            "",
            "/chat?room=1",
            "/?%zz=1&%=2&token",
            "/token/code?page=2&monkey=3",
            "http://example.com:8080/a@b?mail=a@b.example",
            "/?=1&&==;#",
        ] {
            let redacted = Redaction::default();
            assert!(
                matches!(redacted.redact(target), Cow::Borrowed(_)),
                "{target}"
            );
        }
    }

    #[test]
    fn more_names_are_redacted_beside_those_that_are_known() {
        let redaction = Redaction::with(["Session-Ref", "ssn"]);
        assert_eq!(
            redaction.redact("/?sessionref=1&my_session.ref=2&userSSN=3&lessn=4&token=5"),
            "/?sessionref=<redacted>&my_session.ref=<redacted>&userSSN=<redacted>&lessn=4\
             &token=<redacted>"
        );
    }

    #[test]
    fn in_prose_an_address_ends_where_a_word_does() {
        let text = "cannot ask \"http://me:word@e/?token=1\": token=2 was refused";
        let expected =
            "cannot ask \"http://<redacted>@e/?token=<redacted>\": token=<redacted> was refused";
        assert_eq!(Redaction::default().redact_text(text), expected);
    }

    #[test]
    fn the_time_that_it_takes_grows_with_the_length_alone() {
        for part in [
            "://",
            "://a@",
            "%3A%2F%2F@",
            "?token=",
            "&a_A_",
            ";%3D%26",
            "A",
        ] {
            let long = part.repeat(200_000);
            let began = std::time::Instant::now();
            let redacted = Redaction::with(["otp"]).redact(&long).len();
            assert!(began.elapsed().as_secs() < 2, "{part}: {redacted}");
        }
    }
}
