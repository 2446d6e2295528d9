//! What every kind of condition has: the values of a request that it looks at, and how they
//! compare.

use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// A condition, and how it fares with a request.
#[derive(Debug)]
pub struct Explained {
    /// `HEADER`, say.
    pub subject: &'static str,
    /// `EQUALS`, say; `SOURCE_IP` has none.
    pub comparison: Option<&'static str>,
    /// The name of the header, parameter or cookie.
    pub key: Option<String>,
    /// What the request's values are compared with.
    pub value: Option<String>,
    /// Whether it holds when the comparison does not.
    pub negate: bool,
    /// The request's values.
    pub saw: Vec<String>,
    /// Whether it holds.
    pub held: bool,
}

/// What a condition may be about.
pub(super) trait Look {
    /// Whether it holds for this request, `negate` aside.
    fn holds(&self, request: &Request<'_>) -> bool;

    /// What it is and sees, `negate` aside.
    fn tell(&self, request: &Request<'_>) -> Explained;
}

/// What a condition may be about whose values are compared.
pub(super) trait Values {
    /// Its word in the configuration.
    const WORD: &'static str;

    /// The name of the header, parameter or cookie.
    fn key(&self) -> Option<String> {
        None
    }

    /// How each value is compared.
    fn comparison(&self) -> &Comparison;

    /// The request's values.
    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]>;
}

impl<S: Values> Look for S {
    fn holds(&self, request: &Request<'_>) -> bool {
        let comparison = self.comparison();
        self.values(request).any(|value| comparison.holds(value))
    }

    fn tell(&self, request: &Request<'_>) -> Explained {
        let values = self.values(request);
        let text = |value| String::from_utf8_lossy(value).into_owned();
        Explained {
            subject: S::WORD,
            comparison: Some(self.comparison().word()),
            key: self.key(),
            value: self.comparison().value(),
            negate: false,
            saw: values.map(text).collect(),
            held: self.holds(request),
        }
    }
}
