//! The filters of a rule, and of a backend.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::fields::{Fields, Node};
use super::words::{Reference, host, is_name};
use crate::config::model::AllowedOrigin;
use crate::config::objects::may_be_changed;
use crate::config::origin::allowed;

/// An entry of `filters`.
#[derive(Debug, Clone)]
pub enum Filter {
    /// `RequestHeaderModifier`
    Request(HeaderChanges),
    /// `ResponseHeaderModifier`
    Response(HeaderChanges),
    /// `RequestRedirect`
    Redirect(Redirect),
    /// `URLRewrite`
    Rewrite(Rewrite),
    /// `RequestMirror`
    Mirror(Mirror),
    /// `CORS`
    Cors(Cors),
    /// `ExtensionRef`: to what nobody knows here.
    Extension(Reference),
    /// What cannot be read: it is noted as a flaw.
    Unknown,
}

impl Filter {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Filter::Request(_) => "RequestHeaderModifier",
            Filter::Response(_) => "ResponseHeaderModifier",
            Filter::Redirect(_) => "RequestRedirect",
            Filter::Rewrite(_) => "URLRewrite",
            Filter::Mirror(_) => "RequestMirror",
            Filter::Cors(_) => "CORS",
            Filter::Extension(_) => "ExtensionRef",
            Filter::Unknown => "unknown",
        }
    }
}

/// What becomes of headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// `set`
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// `add`
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// `remove`
    pub remove: Vec<HeaderName>,
}

/// A computed answer that sends the client elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `scheme`: http or https.
    pub scheme: Option<Arc<str>>,
    /// `hostname`
    pub host: Option<Arc<str>>,
    /// `port`
    pub port: Option<u16>,
    /// `path`
    pub path: Option<PathChange>,
    /// `statusCode`. Default: 302.
    pub status: u16,
}

/// Another host or path for the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// `hostname`
    pub host: Option<Arc<str>>,
    /// `path`
    pub path: Option<PathChange>,
}

/// `path` of a redirect or a rewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    /// `ReplaceFullPath`
    Whole(String),
    /// `ReplacePrefixMatch`
    Prefix(String),
}

/// A copy of requests to another backend.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// `backendRef`
    pub to: Reference,
    /// Its port.
    pub port: Option<u16>,
    /// `percent` or `fraction`: how many of how many.
    pub share: (u32, u32),
}

/// Cross-origin requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// `allowOrigins`: whose pages; `None` is `*`, those of all.
    pub origins: Option<Vec<AllowedOrigin>>,
    /// `allowCredentials`
    pub credentials: bool,
    /// `allowMethods`
    pub methods: Vec<String>,
    /// `allowHeaders`
    pub headers: Vec<String>,
    /// `exposeHeaders`
    pub exposed: Vec<String>,
    /// `maxAge`, in seconds. Default: 5.
    pub max_age: u32,
}

/// The field that belongs to each type.
const FIELDS: [(&str, &str); 7] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
    ("ExtensionRef", "extensionRef"),
];

pub(super) fn filter(node: Node) -> Filter {
    read(&node.fields()).unwrap_or(Filter::Unknown)
}

fn read(fields: &Fields) -> Option<Filter> {
    let kind = fields.required_text("type")?;
    let Some((_, own)) = FIELDS.iter().find(|(word, _)| *word == kind) else {
        return fields.flaw("type", format!("{kind:?} is not supported"));
    };
    let mut others = FIELDS
        .iter()
        .filter(|(_, key)| key != own && fields.has(key));
    if let Some((_, other)) = others.next() {
        return fields.flaw(other, format!("does not go with type {kind}"));
    }
    let body = fields.required_fields(own);
    Some(match kind {
        "RequestHeaderModifier" => Filter::Request(header_changes(&body)),
        "ResponseHeaderModifier" => Filter::Response(header_changes(&body)),
        "RequestRedirect" => Filter::Redirect(redirect(&body)),
        "URLRewrite" => Filter::Rewrite(Rewrite {
            host: exact_host(&body),
            path: path_change(&body),
        }),
        "RequestMirror" => Filter::Mirror(mirror(&body)?),
        "CORS" => Filter::Cors(cors(&body)),
        _ => Filter::Extension(Reference::read(&body, "", "")?),
    })
}

fn header_changes(fields: &Fields) -> HeaderChanges {
    let name = |fields: &Fields, key: &str, text: &str| {
        let Ok(name) = HeaderName::try_from(text) else {
            return fields.flaw(key, "must be the name of a header");
        };
        match may_be_changed(&name) {
            true => Some(name),
            false => fields.flaw(key, format!("{name} cannot be changed")),
        }
    };
    let pairs = |key: &str| {
        let mut pairs: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for node in fields.list(key, 16) {
            let fields = node.fields();
            let read = fields
                .required_text("name")
                .and_then(|text| name(&fields, "name", text));
            let value = fields.required_text("value").and_then(|text| {
                let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                let is_fit = text.bytes().all(is_visible) && text.trim() == text;
                let value = HeaderValue::try_from(text).ok().filter(|_| is_fit);
                value.or_else(|| fields.flaw("value", "must be visible ASCII"))
            });
            // Of two for one name the first counts.
            if let Some(pair) = read.zip(value)
                && pairs.iter().all(|(other, _)| *other != pair.0)
            {
                pairs.push(pair);
            }
        }
        pairs
    };
    let removed = fields.texts("remove", 16).into_iter();
    HeaderChanges {
        set: pairs("set"),
        add: pairs("add"),
        remove: removed
            .filter_map(|text| name(fields, "remove", text))
            .collect(),
    }
}

fn redirect(fields: &Fields) -> Redirect {
    let scheme = fields.text("scheme");
    if scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
        fields
            .flaws
            .note(&fields.path_of("scheme"), "must be http or https");
    }
    let status = fields.integer("statusCode", 300..=399).unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&status) {
        let message = "must be 301, 302, 303, 307 or 308";
        fields.flaws.note(&fields.path_of("statusCode"), message);
    }
    Redirect {
        scheme: scheme.map(Into::into),
        host: exact_host(fields),
        port: fields.port("port"),
        path: path_change(fields),
        status: u16::try_from(status).unwrap_or(302),
    }
}

fn exact_host(fields: &Fields) -> Option<Arc<str>> {
    let node = fields.node("hostname")?;
    host(&node).and_then(|_| match node.text()? {
        text if is_name(text) => Some(text.into()),
        _ => node.flaw("must not have a wildcard"),
    })
}

fn path_change(fields: &Fields) -> Option<PathChange> {
    let fields = fields.fields("path")?;
    let (kind, whole, prefix) = (
        fields.required_text("type")?,
        fields.text("replaceFullPath"),
        fields.text("replacePrefixMatch"),
    );
    let change = match (kind, whole, prefix) {
        ("ReplaceFullPath", Some(path), None) => PathChange::Whole(path.to_owned()),
        ("ReplacePrefixMatch", None, Some(path)) => PathChange::Prefix(path.to_owned()),
        ("ReplaceFullPath", None, _) => return fields.flaw("replaceFullPath", "is required"),
        ("ReplacePrefixMatch", _, None) => return fields.flaw("replacePrefixMatch", "is required"),
        (_, Some(_), Some(_)) => return fields.flaw("type", "does not go with both paths"),
        _ => return fields.flaw("type", "must be ReplaceFullPath or ReplacePrefixMatch"),
    };
    let (PathChange::Whole(path) | PathChange::Prefix(path)) = &change;
    let is_fit = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
    match is_fit && path.len() <= 1024 {
        true => Some(change),
        false => fields.flaw(
            "type",
            "has a path that is none: visible ASCII, up to 1024 bytes",
        ),
    }
}

fn mirror(fields: &Fields) -> Option<Mirror> {
    let backend = fields.required_fields("backendRef");
    let to = Reference::read(&backend, "", "Service")?;
    let percent = fields.integer("percent", 0..=100);
    let fraction = fields.fields("fraction").map(|fraction| {
        let least = fraction.integer("numerator", 0..=i64::from(i32::MAX));
        let most = fraction.integer("denominator", 1..=i64::from(i32::MAX));
        (least.unwrap_or(0), most.unwrap_or(100), fraction)
    });
    let (part, whole) = match (percent, fraction) {
        (Some(_), Some(_)) => return fields.flaw("fraction", "does not go with percent"),
        (_, Some((part, whole, fraction))) if part > whole => {
            return fraction.flaw("numerator", "must not be above denominator");
        }
        (_, Some((part, whole, _))) => (part, whole),
        (percent, None) => (percent.unwrap_or(100), 100),
    };
    Some(Mirror {
        to,
        port: backend.port("port"),
        share: (u32::try_from(part).ok()?, u32::try_from(whole).ok()?),
    })
}

/// Whose pages are meant; `None` is everybody's.
fn origins(fields: &Fields) -> Option<Vec<AllowedOrigin>> {
    let entries = fields.list("allowOrigins", 64);
    let count = entries.len();
    let mut origins = Vec::new();
    for node in entries {
        match node.text() {
            Some("*") if count == 1 => return None,
            Some("*") => node.flaws.note(&node.path, "must be the only entry"),
            Some(text) => match allowed(text) {
                Some(origin) if !origins.contains(&origin) => origins.push(origin),
                Some(_) => {}
                None => node.flaws.note(
                    &node.path,
                    "must be * or an origin, whose host may be or begin with *",
                ),
            },
            None => {}
        }
    }
    Some(origins)
}

fn cors(fields: &Fields) -> Cors {
    let texts = |key: &str| -> Vec<String> {
        let all = fields.texts(key, 64).into_iter();
        all.map(str::to_owned).collect()
    };
    let (methods, headers) = (texts("allowMethods"), texts("allowHeaders"));
    for (key, list) in [("allowMethods", &methods), ("allowHeaders", &headers)] {
        if list.len() > 1 && list.iter().any(|word| word == "*") {
            fields
                .flaws
                .note(&fields.path_of(key), "must be * alone, or words");
        }
    }
    let exposed = texts("exposeHeaders");
    for (key, list) in [
        ("allowMethods", &methods),
        ("allowHeaders", &headers),
        ("exposeHeaders", &exposed),
    ] {
        let is_token = |word: &String| word == "*" || HeaderName::try_from(word).is_ok();
        if !list.iter().all(is_token) {
            let message = "must be words (RFC 9110 section 5.6.2)";
            fields.flaws.note(&fields.path_of(key), message);
        }
    }
    let max_age = fields
        .integer("maxAge", 1..=i64::from(i32::MAX))
        .unwrap_or(5);
    Cors {
        origins: origins(fields),
        credentials: fields.boolean("allowCredentials").unwrap_or(false),
        methods,
        headers,
        exposed,
        max_age: u32::try_from(max_age).unwrap_or(5),
    }
}
