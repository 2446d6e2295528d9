//! What a `FORWARD` rule changes on the way: headers of requests and answers, the host and the
//! path.

use http::{HeaderName, HeaderValue};

use crate::config::template::Template;

/// `headers` and `rewrite`
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// `headers`
    pub headers: Headers,
    /// `rewrite`
    pub rewrite: Rewrite,
}

impl Changes {
    /// These changes, and then the others, as one.
    pub fn then(&self, other: &Changes) -> Changes {
        Changes {
            headers: Headers {
                request: self.headers.request.then(&other.headers.request),
                response: self.headers.response.then(&other.headers.response),
            },
            rewrite: Rewrite {
                host: other.rewrite.host.clone().or(self.rewrite.host.clone()),
                path: other.rewrite.path.clone().or(self.rewrite.path.clone()),
            },
        }
    }
}

/// `headers`
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// `request`: of requests to targets, WebSocket handshakes among them. Default: nothing.
    pub request: HeaderChanges,
    /// `response`: of targets' answers, 101s among them. Default: nothing.
    pub response: HeaderChanges,
}

/// `headers.request` or `headers.response`. No name is in both `remove` and `set`; the changes are
/// made in this order.
#[derive(Debug, Clone, Default)]
pub struct HeaderChanges {
    /// `remove`: headers that are taken out. Each name once.
    pub remove: Vec<HeaderName>,
    /// `set`: headers that take the place of all of that name. Each name once.
    pub set: Vec<(HeaderName, NewValue)>,
    /// `add`: headers that come after what is there. Each name once.
    pub add: Vec<(HeaderName, NewValue)>,
}

impl HeaderChanges {
    fn then(&self, other: &HeaderChanges) -> HeaderChanges {
        let is_set = |name: &HeaderName| other.set.iter().any(|(set, _)| set == name);
        let stays = |name: &HeaderName| !other.remove.contains(name) && !is_set(name);
        let kept = |list: &[(HeaderName, NewValue)]| {
            let kept = list.iter().filter(|(name, _)| stays(name));
            kept.cloned().collect::<Vec<_>>()
        };
        let removed = self.remove.iter().filter(|name| stays(name));
        HeaderChanges {
            remove: removed.chain(&other.remove).cloned().collect(),
            set: [kept(&self.set), other.set.clone()].concat(),
            add: [kept(&self.add), other.add.clone()].concat(),
        }
    }
}

/// The value of a header that is set or added: visible ASCII, with spaces between it.
#[derive(Debug, Clone)]
pub enum NewValue {
    /// The same value for every request.
    Fixed(HeaderValue),
    /// With placeholders.
    Made(Template),
}

/// `rewrite`
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// `host`: what the target sees as Host. Default: what the client sent.
    pub host: Option<HeaderValue>,
    /// `path` or `pathPrefix`. Default: what the client sent.
    pub path: Option<NewPath>,
}

/// Another path; the query stays. All of it is visible ASCII and begins with `/`.
#[derive(Debug, Clone)]
pub enum NewPath {
    /// `path`
    Whole(String),
    /// `pathPrefix`
    Prefix {
        /// What the rule's condition says, of `UNDER` without a slash at its end.
        before: String,
        /// What takes its place.
        after: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(
        remove: &[&'static str],
        set: &[&'static str],
        add: &[&'static str],
    ) -> HeaderChanges {
        let name = |name: &&'static str| HeaderName::from_static(name);
        let valued = |of: &&'static str| (name(of), NewValue::Fixed(HeaderValue::from_static("v")));
        HeaderChanges {
            remove: remove.iter().map(name).collect(),
            set: set.iter().map(valued).collect(),
            add: add.iter().map(valued).collect(),
        }
    }

    fn names(changes: &HeaderChanges) -> [Vec<&str>; 3] {
        [
            changes.remove.iter().map(HeaderName::as_str).collect(),
            changes.set.iter().map(|(name, _)| name.as_str()).collect(),
            changes.add.iter().map(|(name, _)| name.as_str()).collect(),
        ]
    }

    #[test]
    fn what_comes_later_is_done_to_what_came_before() {
        let first = changes(&["gone", "back"], &["a", "b"], &["c", "d"]);
        let second = changes(&["a", "c"], &["back", "d"], &["b", "gone"]);
        let both = first.then(&second);
        let expected = [
            vec!["gone", "a", "c"],
            vec!["b", "back", "d"],
            vec!["b", "gone"],
        ];
        assert_eq!(names(&both), expected);
        let nothing = HeaderChanges::default();
        assert_eq!(names(&first.then(&nothing)), names(&first));
        assert_eq!(names(&nothing.then(&first)), names(&first));
    }
}
