//! The names of HTTP/2's fields: what each is, and which values suit it (RFC 9113 sections 8.2 and
//! 8.3).

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    Te,
    /// One that is about a connection (section 8.2.2).
    OfConnection,
    Other,
    Malformed,
}

impl Name {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Name::Method,
            b":scheme" => Name::Scheme,
            b":authority" => Name::Authority,
            b":path" => Name::Path,
            b":protocol" => Name::Protocol,
            b":status" => Name::Status,
            b"te" => Name::Te,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => Name::OfConnection,
            _ if is_name(name) => Name::Other,
            _ => Name::Malformed,
        }
    }

    pub(super) fn of_static(index: usize) -> Self {
        match index {
            1 => Name::Authority,
            2..=3 => Name::Method,
            4..=5 => Name::Path,
            6..=7 => Name::Scheme,
            8..=14 => Name::Status,
            57 => Name::OfConnection,
            _ => Name::Other,
        }
    }

    pub(super) fn is_pseudo(self) -> bool {
        match self {
            Name::Method
            | Name::Scheme
            | Name::Authority
            | Name::Path
            | Name::Protocol
            | Name::Status => true,
            Name::Te | Name::OfConnection | Name::Other | Name::Malformed => false,
        }
    }

    /// Whether it may have this value.
    pub(super) fn suits(self, value: &[u8]) -> bool {
        match self {
            Name::Method => !value.is_empty() && value.iter().all(|byte| is_of_token(*byte)),
            Name::Te => value == b"trailers",
            // A fragment is not sent (RFC 9110 section 4.2.5), and h2 would take it out.
            Name::Path if value.contains(&b'#') => false,
            Name::Scheme | Name::Authority | Name::Path | Name::Protocol => {
                is_value(value) && std::str::from_utf8(value).is_ok()
            }
            Name::Other => is_value(value),
            // Not in a request.
            Name::Status | Name::OfConnection | Name::Malformed => false,
        }
    }
}

/// The octets of a token (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let (mut octet, others) = (0_u8, b"!#$%&'*+-.^_`|~");
    while octet < 128 {
        table[octet as usize] = octet.is_ascii_alphanumeric();
        octet += 1;
    }
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = true;
        place += 1;
    }
    table
};

fn is_of_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

fn is_name(name: &[u8]) -> bool {
    let is_of_name = |byte: &u8| is_of_token(*byte) && !byte.is_ascii_uppercase();
    !name.is_empty() && name.len() < 1 << 16 && name.iter().all(is_of_name)
}

/// Without controls (section 10.3), and without white space at its ends (section 8.2.1).
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    !is_space(value.first()) && !is_space(value.last()) && value.iter().all(is_text)
}
