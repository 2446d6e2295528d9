//! The Huffman code of HPACK (RFC 7541 section 5.2), as far as it is read.
//!
//! The code is canonical: how long each octet's code is tells all of them.

/// How long the code of each octet is, in bits (RFC 7541 appendix B).
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

static CODE: Code = Code::new();

/// For each length its first code, where the octets with codes of that length begin, and what its
/// codes are below: at the left of 32 bits.
struct Code {
    first: [u32; LONGEST + 1],
    start: [usize; LONGEST + 1],
    below: [u64; LONGEST + 1],
    /// By their codes.
    octets: [u8; 256],
    /// For what codes of up to 8 bits begin with, their octet and length.
    short: [(u8, u8); 256],
}

impl Code {
    const fn new() -> Self {
        let mut code = Code {
            first: [0; LONGEST + 1],
            start: [0; LONGEST + 1],
            below: [0; LONGEST + 1],
            octets: [0; 256],
            short: [(0, 0); 256],
        };
        let (mut next, mut place, mut length) = (0_u32, 0, SHORTEST);
        while length <= LONGEST {
            (code.first[length], code.start[length]) = (next, place);
            let mut octet = 0;
            while octet < 256 {
                if LENGTHS[octet] as usize == length {
                    code.octets[place] = octet as u8;
                    if length <= 8 {
                        code.note_short(octet as u8, next, length);
                    }
                    place += 1;
                    next += 1;
                }
                octet += 1;
            }
            code.below[length] = (next as u64) << (32 - length);
            next <<= 1;
            length += 1;
        }
        code
    }

    const fn note_short(&mut self, octet: u8, code: u32, length: usize) {
        let mut beginning = (code as usize) << (8 - length);
        let end = (code as usize + 1) << (8 - length);
        while beginning < end {
            self.short[beginning] = (octet, length as u8);
            beginning += 1;
        }
    }

    /// The octet whose code these bits begin with, and its length. `None` for the end of a string.
    fn octet(&self, bits: u32) -> Option<(u8, usize)> {
        if let (octet, length @ 1..) = self.short[(bits >> 24) as usize] {
            return Some((octet, length.into()));
        }
        let length = (SHORTEST..=LONGEST).find(|length| u64::from(bits) < self.below[*length])?;
        let above = (bits >> (32 - length)) - self.first[length];
        Some((self.octets[self.start[length] + above as usize], length))
    }
}

/// Appends what this is the code of. `None` where it is none.
pub(super) fn decode(code: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let mut bytes = code.iter();
    let (mut bits, mut count) = (0_u64, 0_usize);
    loop {
        while count <= 32
            && let Some(byte) = bytes.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        // What is not there is filled with ones, as the end of a string is.
        let filled = match count {
            0..32 => bits << (32 - count) | ((1 << (32 - count)) - 1),
            _ => bits >> (count - 32),
        };
        match CODE.octet(filled as u32) {
            Some((octet, length)) if length <= count => {
                text.push(octet);
                count -= length;
                bits &= (1 << count) - 1;
            }
            _ => return (count < 8 && bits == (1 << count) - 1).then_some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(code: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(code, &mut text).map(|()| text)
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        for (code, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", "custom-value"),
            (b"\x64\x02", "302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\
                  \x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (b"", ""),
        ] {
            assert_eq!(decoded(code).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn a_line_feed_is_read_and_what_is_no_code_is_not() {
        // The codes of LF and NUL, filled with ones.
        assert_eq!(decoded(b"\xff\xff\xff\xf3"), Some(b"\n".to_vec()));
        assert_eq!(decoded(b"\xff\xc7"), Some(b"\0".to_vec()));
        for code in [
            &b"\xff"[..],
            b"\xff\xff\xff\xff",
            b"\x00",
            b"\xf1\xe3\xc2\xff\xff",
        ] {
            assert_eq!(decoded(code), None, "{code:x?}");
        }
    }
}
