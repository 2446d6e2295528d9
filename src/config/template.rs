//! Text with placeholders, `https://{host}{path}`: what an operator writes, and what stands for
//! what.
//!
//! A placeholder is a name of letters in braces. Other braces are text, as in JSON; so are those of
//! `{{host}}`, which stands for `{host}`.

use super::words;

/// A text in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is written.
    Text(String),
    /// What the request has for it.
    Value(Value),
}

/// What a placeholder stands for. The names are those of the access log where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `{scheme}`: how the client came, `http` or `https`.
    Scheme,
    /// `{host}`: the host that it asked for, without a port.
    Host,
    /// `{port}`: the port that it asked for, if only by the scheme.
    Port,
    /// `{path}`
    Path,
    /// `{query}`: with its `?`, or nothing.
    Query,
    /// `{clientIp}`
    ClientIp,
    /// `{clientPort}`
    ClientPort,
    /// `{trackingId}`
    TrackingId,
    /// `{tlsProtocol}`
    TlsProtocol,
    /// `{tlsCipher}`
    TlsCipher,
    /// `{serverName}`
    ServerName,
    /// `{clientCertificateVerify}`
    ClientCertificateVerify,
    /// `{clientCertificateSubject}`
    ClientCertificateSubject,
    /// `{clientCertificateFingerprint}`
    ClientCertificateFingerprint,
}

/// All placeholders; first those that a request alone is made of.
const ALL: [(&str, Value); 14] = [
    ("scheme", Value::Scheme),
    ("host", Value::Host),
    ("port", Value::Port),
    ("path", Value::Path),
    ("query", Value::Query),
    ("clientIp", Value::ClientIp),
    ("clientPort", Value::ClientPort),
    ("trackingId", Value::TrackingId),
    ("tlsProtocol", Value::TlsProtocol),
    ("tlsCipher", Value::TlsCipher),
    ("serverName", Value::ServerName),
    ("clientCertificateVerify", Value::ClientCertificateVerify),
    ("clientCertificateSubject", Value::ClientCertificateSubject),
    (
        "clientCertificateFingerprint",
        Value::ClientCertificateFingerprint,
    ),
];

const OF_REQUESTS: usize = 5;

impl Template {
    /// Takes a text apart, in which all placeholders may stand.
    ///
    /// Errors: what is wrong with another.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Template::of(text, &ALL)
    }

    /// Parses a text with placeholders that a request alone is made of.
    pub(crate) fn parse_of_request(text: &str) -> Result<Self, String> {
        Template::of(text, &ALL[..OF_REQUESTS])
    }

    fn of(text: &str, known: &[(&str, Value)]) -> Result<Self, String> {
        let mut template = Template(Vec::new());
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            rest = after;
            let Some((name, after)) = name(rest) else {
                plain.push('{');
                continue;
            };
            rest = after;
            if let Some(after) = rest.strip_prefix('}').filter(|_| plain.ends_with('{')) {
                plain.push_str(name);
                plain.push('}');
                rest = after;
                continue;
            }
            let value = known.iter().find(|(known, _)| *known == name);
            let (_, value) = value.ok_or_else(|| unknown(name, known))?;
            template.push(Part::Text(std::mem::take(&mut plain)));
            template.push(Part::Value(*value));
        }
        template.push(Part::Text(plain + rest));
        Ok(template)
    }

    fn push(&mut self, part: Part) {
        if part != Part::Text(String::new()) {
            self.0.push(part);
        }
    }

    /// Its parts; none of them is empty.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The text, if there is no placeholder in it.
    pub fn literal(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether this stands in it.
    pub fn has(&self, value: Value) -> bool {
        self.0.contains(&Part::Value(value))
    }
}

/// The name of a placeholder whose brace is open, and what comes after it.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some((name, rest))
}

fn unknown(name: &str, known: &[(&str, Value)]) -> String {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let all = || {
        let names: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("there are {}", words::listed(&names, "and"))
    };
    let meant = words::nearest(name, &names).map(|name| format!("did you mean {{{name}}}?"));
    let help = meant.unwrap_or_else(all);
    format!("no placeholder {{{name}}}; {help} (as text it is {{{{{name}}}}})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let template = Template::parse(text)?;
        let part = |part: &Part| match part {
            Part::Text(text) => format!("[{text}]"),
            Part::Value(value) => format!("<{value:?}>"),
        };
        Ok(template.parts().iter().map(part).collect())
    }

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        for (text, parts) in [
            ("", ""),
            ("plain", "[plain]"),
            ("https://{host}{path}", "[https://]<Host><Path>"),
            ("{clientIp}:{clientPort}", "<ClientIp>[:]<ClientPort>"),
            ("{\"a\": {\"b\": {}}}", "[{\"a\": {\"b\": {}}}]"),
            ("{\"ip\":\"{clientIp}\"}", "[{\"ip\":\"]<ClientIp>[\"}]"),
            ("{{host}}", "[{host}]"),
            ("{{foo}} {host}", "[{foo} ]<Host>"),
            ("{ {host}", "[{ ]<Host>"),
            ("{", "[{]"),
            ("{host", "[{host]"),
            ("}{", "[}{]"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(parts), "{text}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_an_error_that_says_what_there_is() {
        let near = shown("{hosts}").unwrap_err();
        assert_eq!(
            near,
            "no placeholder {hosts}; did you mean {host}? (as text it is {{hosts}})"
        );
        let far = Template::parse_of_request("{clientIp}").unwrap_err();
        assert!(far.contains("there are {scheme}, {host}, {port}, {path} and {query}"));
    }
}
