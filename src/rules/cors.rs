//! What pages of other sites may do with answers: what a browser is told of that (the Fetch
//! standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::origins::Origins;
use crate::config::model::{self, CorsList};

/// What an answer says, or a target's answer may not say in its place.
pub const CORS_HEADERS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// Which pages may, and what.
#[derive(Debug)]
pub struct Cors {
    /// `None` is all.
    origins: Option<Origins>,
    credentials: bool,
    methods: Names,
    headers: Names,
    exposed: Names,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Names {
    All,
    /// As they stand in a header; `None` where there are none.
    These(Option<HeaderValue>),
}

/// What an answer to a page says.
pub type Told = Vec<(HeaderName, HeaderValue)>;

impl Cors {
    /// As it is configured; an error is a name that has no place in a header.
    pub fn build(cors: &model::Cors) -> Result<Self, String> {
        Ok(Cors {
            origins: cors.allow_origins.as_deref().map(Origins::new),
            credentials: cors.allow_credentials,
            methods: Names::build(&cors.allow_methods)?,
            headers: Names::build(&cors.allow_headers)?,
            exposed: Names::build(&cors.expose_headers)?,
            max_age: cors.max_age.as_secs().into(),
        })
    }

    /// What is answered to a preflight: nothing to a page that may not ask. `None`: it is none.
    pub fn preflight(&self, method: &str, headers: &HeaderMap) -> Option<Told> {
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if method != "OPTIONS" || !headers.contains_key(ORIGIN) {
            return None;
        }
        let mut told = self.answer(headers);
        if told.is_empty() {
            return Some(told);
        }
        let methods = self.methods.told(self.credentials, Some(wanted));
        told.extend(methods.map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = self.headers.told(self.credentials, wanted);
        told.extend(names.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names)));
        told.push((ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(told)
    }

    /// What the answer says to a request with these headers: nothing where no page asks, or one
    /// that may not.
    pub fn answer(&self, headers: &HeaderMap) -> Told {
        let Some(mut told) = self.allowed(headers) else {
            return Told::new();
        };
        let exposed = self.exposed.told(self.credentials, None);
        told.extend(exposed.map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        told
    }

    /// That a page may, if it may.
    fn allowed(&self, headers: &HeaderMap) -> Option<Told> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        let may = self.origins.as_ref().is_none_or(|all| all.allow(headers));
        let origin = match self.origins.is_none() && !self.credentials {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        let mut told = may.then(|| vec![(ACCESS_CONTROL_ALLOW_ORIGIN, origin)])?;
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            told.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
        }
        Some(told)
    }
}

impl Names {
    fn build(list: &CorsList) -> Result<Self, String> {
        let names = match list {
            CorsList::All => return Ok(Names::All),
            CorsList::These(names) if names.is_empty() => return Ok(Names::These(None)),
            CorsList::These(names) => names.join(", "),
        };
        let value = HeaderValue::from_str(&names).map_err(|_| names)?;
        Ok(Names::These(Some(value)))
    }

    /// With credentials `*` is a name as any other, so what is wanted is told in its place.
    fn told(&self, credentials: bool, wanted: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Names::These(names) => names.clone(),
            Names::All if credentials => wanted.cloned(),
            Names::All => Some(HeaderValue::from_static("*")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::request::tests::headers;
    use super::*;
    use crate::config::model::AllowedOrigin;

    fn cors(origins: Option<&str>, allow_credentials: bool, names: &CorsList) -> Cors {
        let origin = |host: &str| AllowedOrigin::Of {
            scheme: "https".into(),
            host: host.into(),
            port: None,
            is_above: true,
        };
        let built = Cors::build(&model::Cors {
            allow_origins: origins.map(|host| vec![origin(host)]),
            allow_credentials,
            allow_methods: names.clone(),
            allow_headers: names.clone(),
            expose_headers: names.clone(),
            max_age: Duration::from_secs(5),
        });
        built.unwrap()
    }

    fn text(told: Option<Told>) -> Option<String> {
        let line = |(name, value): (HeaderName, HeaderValue)| {
            let name = name.as_str().trim_start_matches("access-control-");
            format!("{name}: {}", value.to_str().unwrap())
        };
        told.map(|told| told.into_iter().map(line).collect::<Vec<_>>().join("; "))
    }

    const ASKED: &[(&str, &str)] = &[
        ("Origin", "https://a.example.com"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-a,x-b"),
    ];

    #[test]
    fn a_preflight_is_told_what_is_allowed() {
        let these = CorsList::These(vec!["PUT".into(), "X-A".into()]);
        for (cors, expected) in [
            (
                cors(Some("example.com"), false, &these),
                "allow-origin: https://a.example.com; expose-headers: PUT, X-A; \
                 allow-methods: PUT, X-A; allow-headers: PUT, X-A; max-age: 5",
            ),
            (
                cors(None, false, &CorsList::All),
                "allow-origin: *; expose-headers: *; allow-methods: *; allow-headers: *; \
                 max-age: 5",
            ),
            (
                cors(None, true, &CorsList::All),
                "allow-origin: https://a.example.com; allow-credentials: true; \
                 allow-methods: PUT; allow-headers: x-a,x-b; max-age: 5",
            ),
            (
                cors(None, false, &CorsList::These(Vec::new())),
                "allow-origin: *; max-age: 5",
            ),
        ] {
            let told = text(cors.preflight("OPTIONS", &headers(ASKED)));
            assert_eq!(told.as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_preflight_is_not_answered_and_another_page_is_told_nothing() {
        let cors = cors(Some("example.com"), false, &CorsList::All);
        assert_eq!(cors.preflight("GET", &headers(ASKED)), None);
        assert_eq!(cors.preflight("OPTIONS", &headers(&ASKED[..1])), None);
        assert_eq!(cors.preflight("OPTIONS", &headers(&ASKED[1..])), None);
        let other = [("Origin", "https://example.org"), ASKED[1]];
        assert_eq!(cors.preflight("OPTIONS", &headers(&other)), Some(vec![]));
        assert_eq!(cors.answer(&headers(&other)), []);
        assert_eq!(cors.answer(&headers(&[])), []);
    }

    #[test]
    fn an_answer_tells_what_may_be_read() {
        for (credentials, names, expected) in [
            (false, CorsList::All, "allow-origin: *; expose-headers: *"),
            (
                true,
                CorsList::All,
                "allow-origin: https://a.example.com; allow-credentials: true",
            ),
            (
                false,
                CorsList::These(vec!["X-A".into()]),
                "allow-origin: *; expose-headers: X-A",
            ),
        ] {
            let told = cors(None, credentials, &names).answer(&headers(ASKED));
            assert_eq!(text(Some(told)).as_deref(), Some(expected));
        }
    }
}
