//! HTTPRoute: hosts, and rules of matches, filters and backends. What is wrong in a rule is noted
//! at that rule.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::fields::Flaw;
use super::filters::Filter;
use super::gateway::GROUP;
use super::meta::{Meta, Name};
use super::words::{Host, Reference};

/// An HTTPRoute.
#[derive(Debug)]
pub struct HttpRoute {
    /// What all objects have.
    pub meta: Meta,
    /// `parentRefs`
    pub parents: Vec<ParentRef>,
    /// `hostnames`; none are all of the listener.
    pub hosts: Vec<Host>,
    /// `rules`
    pub rules: Vec<Rule>,
}

/// An entry of `parentRefs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentRef {
    /// Which object; `section` is the name of a listener.
    pub to: Reference,
    /// `port`
    pub port: Option<u16>,
}

/// An entry of `rules`.
#[derive(Debug, Default)]
pub struct Rule {
    /// `name`
    pub name: Option<Arc<str>>,
    /// `matches`: one at least.
    pub matches: Vec<Match>,
    /// `filters`
    pub filters: Vec<Filter>,
    /// `backendRefs`
    pub backends: Vec<Backend>,
    /// `timeouts.request`; zero is none.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`; zero is none.
    pub backend_timeout: Option<Duration>,
    /// `retry`
    pub retry: Option<Retry>,
    /// `sessionPersistence`
    pub session: Option<Session>,
    /// What is wrong with it: the rule is not used then.
    pub flaws: Vec<Flaw>,
}

/// An entry of `matches`: all of it must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// `path`
    pub path: PathMatch,
    /// `method`
    pub method: Option<Method>,
    /// `headers`: each name once.
    pub headers: Vec<(HeaderName, ValueMatch)>,
    /// `queryParams`: each name once.
    pub query: Vec<(String, ValueMatch)>,
}

/// `path`
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// `Exact`
    Exact(String),
    /// `PathPrefix`, by segments: without a slash at its end, unless it is but that.
    Prefix(String),
    /// `RegularExpression`, of the whole path.
    Regex(Regex),
}

/// How the value of a header or of a parameter compares.
#[derive(Debug, Clone)]
pub enum ValueMatch {
    /// `Exact`
    Exact(String),
    /// `RegularExpression`, of the whole value.
    Regex(Regex),
}

/// An entry of `backendRefs`.
#[derive(Debug)]
pub struct Backend {
    /// Which object.
    pub to: Reference,
    /// `port`
    pub port: Option<u16>,
    /// `weight`
    pub weight: u32,
    /// `filters`
    pub filters: Vec<Filter>,
}

/// `sessionPersistence`: a client stays with its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `type` is Header: not by a cookie.
    pub is_header: bool,
    /// `sessionName`
    pub name: Option<String>,
    /// `cookieConfig.lifetimeType` is Permanent: the cookie outlives the browser.
    pub is_permanent: bool,
    /// `absoluteTimeout`
    pub longest: Option<Duration>,
}

/// `retry`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// `codes`: answers after which it is tried again.
    pub codes: Vec<u16>,
    /// `attempts`
    pub attempts: Option<u32>,
    /// `backoff`
    pub backoff: Option<Duration>,
}

impl ParentRef {
    /// One to a Gateway.
    pub fn gateway(name: &Name) -> Self {
        ParentRef {
            to: Reference {
                group: GROUP.into(),
                kind: "Gateway".into(),
                namespace: Some(Arc::clone(&name.namespace)),
                name: Arc::clone(&name.name),
                section: None,
            },
            port: None,
        }
    }
}

impl Match {
    /// What holds where nothing is said: all requests.
    pub(super) fn everything() -> Self {
        Match {
            path: PathMatch::Prefix("/".to_owned()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }
}
