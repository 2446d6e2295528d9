//! The subject of a certificate as text (RFC 4514): visible ASCII and spaces, whatever the
//! certificate says.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Tag, ToDer as _};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName};

/// Longer than any that is meant for reading. One that is longer is not told: a part of it might be
/// another's name.
const LONGEST: usize = 1024;

/// The names of the types in RFC 4514 section 3, and two that certificates of clients often have.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The subject, the most specific part first. `None` if it is empty, malformed, or very long.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    if subject.as_raw().len() > LONGEST {
        return None;
    }
    let mut parts = Vec::new();
    for part in subject.iter_rdn() {
        parts.push(set(part)?);
    }
    parts.reverse();
    let text = parts.join(",");
    Some(text).filter(|text| !text.is_empty() && text.len() <= LONGEST)
}

fn set(part: &RelativeDistinguishedName) -> Option<String> {
    let attributes: Option<Vec<String>> = part.iter().map(attribute).collect();
    Some(attributes?.join("+"))
}

fn attribute(attribute: &AttributeTypeAndValue) -> Option<String> {
    let kind = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let is_text = [
        Tag::Utf8String,
        Tag::PrintableString,
        Tag::Ia5String,
        Tag::NumericString,
    ]
    .contains(&value.tag());
    let name = TYPES.iter().find(|(known, _)| *known == kind);
    match name {
        Some((_, name)) if is_text => Some(format!("{name}={}", escaped(value.data))),
        // RFC 4514 section 2.4: what has no text is told in its encoding.
        _ => {
            let digits = value.to_der_vec().ok()?;
            let digits = digits.iter().map(|byte| format!("{byte:02x}"));
            Some(format!("{kind}=#{}", digits.collect::<String>()))
        }
    }
}

/// RFC 4514 section 2.4, with everything escaped that is not visible ASCII or a space.
fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    for (place, byte) in value.iter().enumerate() {
        let is_edge = place == 0 || place == value.len() - 1;
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.push('\\'),
            b'#' if place == 0 => text.push('\\'),
            b' ' if is_edge => text.push('\\'),
            b' '..=b'~' => {}
            _ => {
                text.push_str(&format!("\\{byte:02X}"));
                continue;
            }
        }
        text.push(char::from(*byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn of(parts: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(certificate.der())
    }

    fn text(value: &str) -> DnValue {
        DnValue::Utf8String(value.to_owned())
    }

    #[test]
    fn the_most_specific_part_comes_first() {
        let parts = [
            (DnType::CountryName, text("DE")),
            (DnType::OrganizationName, text("Example, Inc.")),
            (DnType::CommonName, text("device 7")),
        ];
        let expected = "CN=device 7,O=Example\\, Inc.,C=DE";
        assert_eq!(of(&parts).as_deref(), Some(expected));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn nothing_leaves_the_visible_characters_and_no_part_passes_for_two() {
        for (value, expected) in [
            ("a,O=b+c", "CN=a\\,O=b\\+c"),
            ("a\r\nX: y\0", "CN=a\\0D\\0AX: y\\00"),
            (" # ", "CN=\\ #\\ "),
            ("#1", "CN=\\#1"),
            (" ", "CN=\\ "),
            ("\"<\\>;=", "CN=\\\"\\<\\\\\\>\\;="),
            ("ü\u{7f}", "CN=\\C3\\BC\\7F"),
        ] {
            let found = of(&[(DnType::CommonName, text(value))]);
            assert_eq!(found.as_deref(), Some(expected), "{value:?}");
        }
    }

    #[test]
    fn a_type_without_a_name_and_a_value_without_text_are_told_in_their_encoding() {
        let custom = DnType::CustomDnType(vec![1, 2, 3, 4]);
        let found = of(&[(custom, text("a"))]);
        assert_eq!(found.as_deref(), Some("1.2.3.4=#0c0161"));
        let wide = DnValue::BmpString("a".try_into().unwrap());
        let found = of(&[(DnType::CommonName, wide)]);
        assert_eq!(found.as_deref(), Some("2.5.4.3=#1e020061"));
    }

    #[test]
    fn one_that_is_very_long_is_not_told() {
        let with = |length| of(&[(DnType::CommonName, text(&"x".repeat(length)))]);
        assert_eq!(with(900).map(|text| text.len()), Some(903));
        assert_eq!(with(1024), None);
        assert_eq!(of(&[(DnType::CommonName, text(&"ü".repeat(400)))]), None);
    }
}
