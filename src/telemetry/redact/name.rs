//! The name of a parameter, and whether it is that of a secret.

/// A word that ends with one of these is secret, wherever it is in a name; so is a name that does
/// without its separators.
const SECRETS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "credential",
    "credentials",
    "signature",
    "jwt",
    "apikey",
    "accesskey",
    "authkey",
    "privatekey",
    "secretkey",
    "sessionid",
    "sessid",
    "samlresponse",
];

/// One of these is secret as the last word of a name, or as all of it.
const LAST: &[&str] = &[
    "key",
    "code",
    "ticket",
    "auth",
    "authorization",
    "bearer",
    "assertion",
    "session",
    "sess",
    "sid",
    "sig",
    "sas",
    "hmac",
    "pat",
    "verifier",
    "pwd",
    "pass",
    "pw",
    "pin",
    "otp",
    "totp",
    "creds",
    "cred",
    "cookie",
    "csrf",
    "xsrf",
];

/// After one of these a `code` or a `key` is none.
const INNOCENT: &[&str] = &[
    "area",
    "cache",
    "color",
    "country",
    "currency",
    "error",
    "exit",
    "foreign",
    "http",
    "lang",
    "language",
    "locale",
    "partition",
    "postal",
    "primary",
    "product",
    "public",
    "region",
    "sort",
    "status",
    "zip",
];

/// More than the longest of the words above has letters.
const KEPT: usize = 16;

/// A name, percent-encoded (RFC 3986 section 2.1).
pub(super) struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    pub(super) fn new(name: &'a [u8]) -> Self {
        Name(name)
    }

    /// Whether it is that of a secret.
    pub(super) fn is_secret(&self) -> bool {
        let (mut word, mut before, mut whole) = (Tail::default(), Tail::default(), Tail::default());
        for Letter { letter, is_first } in letters(self.0) {
            if is_first {
                if word.ends_with_any(SECRETS) {
                    return true;
                }
                before = std::mem::take(&mut word);
            }
            word.push(letter);
            whole.push(letter);
        }
        if word.ends_with_any(SECRETS) || whole.ends_with_any(SECRETS) || whole.is_any(LAST) {
            return true;
        }
        let is_innocent = word.is_any(&["code", "key"]) && before.is_any(INNOCENT);
        word.is_any(LAST) && !is_innocent
    }

    /// Whether it is this name, or ends with it as words of its own.
    pub(super) fn ends_with(&self, plain: &[u8]) -> bool {
        let Some(before) = letters(self.0).count().checked_sub(plain.len()) else {
            return false;
        };
        let mut end = letters(self.0).skip(before).peekable();
        let begins = end.peek().is_some_and(|letter| letter.is_first);
        begins && end.map(|letter| letter.letter).eq(plain.iter().copied())
    }
}

/// A name without what differs between its spellings.
pub(super) fn plain(name: &str) -> Box<[u8]> {
    let letters = letters(name.as_bytes());
    letters.map(|letter| letter.letter).collect()
}

/// The last letters of a word or of a name.
#[derive(Default)]
struct Tail {
    letters: [u8; KEPT],
    length: usize,
}

impl Tail {
    fn push(&mut self, letter: u8) {
        if self.length >= KEPT {
            self.letters.rotate_left(1);
        }
        self.letters[self.length.min(KEPT - 1)] = letter;
        self.length += 1;
    }

    fn kept(&self) -> &[u8] {
        &self.letters[..self.length.min(KEPT)]
    }

    fn ends_with_any(&self, ends: &[&str]) -> bool {
        ends.iter().any(|end| self.kept().ends_with(end.as_bytes()))
    }

    fn is_any(&self, words: &[&str]) -> bool {
        let is = |word: &&str| self.length == word.len() && self.kept() == word.as_bytes();
        words.iter().any(is)
    }
}

/// A letter or a digit of a name, in lower case, and whether a word begins with it.
struct Letter {
    letter: u8,
    is_first: bool,
}

/// What stands before a letter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Separator,
    Digit,
    Capital,
    /// Whatever is not ASCII belongs to a word, too.
    Small,
}

/// Words begin after a separator or a digit, and with a capital: with the last of several, if a
/// small letter follows it.
fn letters(name: &[u8]) -> impl Iterator<Item = Letter> {
    let mut bytes = decoded(name).peekable();
    let mut before = Kind::Separator;
    std::iter::from_fn(move || {
        loop {
            let byte = bytes.next()?;
            let (kind, last) = (
                Kind::of(byte),
                std::mem::replace(&mut before, Kind::of(byte)),
            );
            let is_first = match (last, kind) {
                (_, Kind::Separator) => continue,
                (Kind::Capital, Kind::Capital) => bytes
                    .peek()
                    .is_some_and(|next| Kind::of(*next) == Kind::Small),
                (Kind::Capital, Kind::Small) => false,
                (last, kind) => last != kind,
            };
            let letter = byte.to_ascii_lowercase();
            return Some(Letter { letter, is_first });
        }
    })
}

impl Kind {
    fn of(byte: u8) -> Self {
        match byte {
            b'0'..=b'9' => Kind::Digit,
            b'A'..=b'Z' => Kind::Capital,
            b'a'..=b'z' | 0x80.. => Kind::Small,
            _ => Kind::Separator,
        }
    }
}

/// The bytes of a name with its percent-encoding undone; a broken encoding stands as it is.
fn decoded(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = name;
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

    fn secret(name: &str) -> bool {
        Name::new(name.as_bytes()).is_secret()
    }

    #[test]
    fn secrets_are_known_however_they_are_written() {
        for name in [
            "token",
            "TOKEN",
            "ToKeN",
            "%74oken",
            "token[]",
            "token%5B%5D",
            "auth_token",
            "sessionToken",
            "jwt_token",
            "accesstoken",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "id_token_hint",
            "tokenV2",
            "token2",
            "key",
            "api-key",
            "apiKey",
            "APIKey",
            "API_KEY",
            "googleAPIKey",
            "code",
            "authCode",
            "ticket",
            "sid",
            "sig",
            "PHPSESSID",
            "jsessionid",
            "session_id",
            "sessionId",
            "session",
            "user[password]",
            "password_confirmation",
            "clientSecret",
            "pwd",
            "otp",
            "code_verifier",
            "SAMLResponse",
            "_auth",
            "auth.",
        ] {
            assert!(secret(name), "{name}");
        }
    }

    #[test]
    fn words_that_only_sound_like_secrets_are_none() {
        for name in [
            "",
            "page",
            "monkey",
            "keyword",
            "keys",
            "hotkeys",
            "key_size",
            "sort_key",
            "publicKey",
            "countryCode",
            "zip_code",
            "status-code",
            "codec",
            "decode",
            "barcode",
            "author",
            "authors",
            "auth_method",
            "spin",
            "pinned",
            "compass",
            "pass_count",
            "design",
            "insider",
            "ticket_count",
            "room",
            "id",
            "user",
            "state",
            "%",
            "%zz",
            "[]",
        ] {
            assert!(!secret(name), "{name}");
        }
    }

    #[test]
    fn a_name_ends_with_another_where_a_word_begins() {
        let more = plain("Session-Ref");
        for (name, ends) in [
            ("session_ref", true),
            ("sessionref[]", true),
            ("mySessionRef", true),
            ("my.session.ref", true),
            ("obsessionref", false),
            ("ref", false),
        ] {
            assert_eq!(Name::new(name.as_bytes()).ends_with(&more), ends, "{name}");
        }
    }
}
