//! How much of a string that a client chose is kept for the log: a tunnel keeps it for as long as
//! it is open.

use std::borrow::Cow;

/// How many bytes are kept.
const MOST: usize = 2048;

/// The first 2,048 bytes of a string, and how many are left out. It takes no more memory than that
/// needs.
pub fn cut<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let mut text = text.into();
    if text.len() <= MOST {
        if let Cow::Owned(text) = &mut text {
            text.shrink_to_fit();
        }
        return text;
    }
    let is_boundary = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=MOST).rev().find(is_boundary).unwrap_or(0);
    let mut kept = format!("{}…[+{} bytes]", &text[..end], text.len() - end);
    kept.shrink_to_fit();
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_between_two_characters_with_what_is_left_out() {
        let of = |text: &str| {
            let kept = cut(text.to_owned()).into_owned();
            assert!(kept.len() < MOST + 32 && kept.capacity() < MOST + 128);
            kept
        };
        let (a, u) = ("a".repeat(MOST), "ü".repeat(MOST));
        assert_eq!(of(""), "");
        assert_eq!(of(&a), a);
        assert_eq!(of(&(a.clone() + "b")), a.clone() + "…[+1 bytes]");
        assert_eq!(of(&u), "ü".repeat(MOST / 2) + "…[+2048 bytes]");
        let odd = format!("a{u}");
        let expected = format!("a{}…[+2050 bytes]", "ü".repeat(MOST / 2 - 1));
        assert_eq!(of(&odd), expected);
    }
}
