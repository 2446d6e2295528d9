//! Another path for a request on its way to the target.

use super::request::split_absolute;
use crate::config::model;

/// What takes the place of a request's path, or of its beginning.
#[derive(Debug, Clone)]
pub enum NewPath {
    /// All of it.
    Whole(Box<str>),
    /// Its beginning.
    Prefix {
        /// How many bytes the rule's condition has matched.
        matched: usize,
        /// Whether the last of them was a slash.
        ends_segment: bool,
        /// What takes their place.
        with: Box<str>,
    },
}

impl From<&model::NewPath> for NewPath {
    fn from(path: &model::NewPath) -> Self {
        match path {
            model::NewPath::Whole(path) => NewPath::Whole(path.as_str().into()),
            model::NewPath::Prefix { before, after } => NewPath::Prefix {
                matched: before.len(),
                ends_segment: before.ends_with('/'),
                with: after.as_str().into(),
            },
        }
    }
}

impl NewPath {
    /// By how many bytes a target becomes longer at most.
    pub fn most_growth(&self) -> usize {
        match self {
            NewPath::Whole(with) | NewPath::Prefix { with, .. } => with.len() + 1,
        }
    }

    /// The request-target with this path, the query as it was; `None` for a target without a path
    /// (`*`). A target in absolute form (RFC 9112 section 3.2.2) stays in it.
    pub fn of(&self, target: &[u8]) -> Option<Vec<u8>> {
        let rest = split_absolute(target).map_or(target, |(_, rest)| rest);
        let (start, rest) = target.split_at(target.len() - rest.len());
        if start.is_empty() && !rest.starts_with(b"/") {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == b'?');
        let (path, query) = rest.split_at(end.unwrap_or(rest.len()));
        let (with, slash, kept) = match self {
            NewPath::Whole(with) => (with, &b""[..], &b""[..]),
            NewPath::Prefix {
                matched,
                ends_segment,
                with,
            } => {
                let kept = path.get(*matched..).unwrap_or_default();
                let (slash, kept) = joint(with, *ends_segment, kept);
                (with, slash, kept)
            }
        };
        Some([start, with.as_bytes(), slash, kept, query].concat())
    }
}

/// What goes between the new beginning and what is kept, and what is kept: one slash where there
/// would be two, or where the condition's was replaced.
fn joint<'a>(with: &str, ends_segment: bool, kept: &'a [u8]) -> (&'static [u8], &'a [u8]) {
    match (with.ends_with('/'), kept.strip_prefix(b"/")) {
        (true, Some(kept)) => (b"", kept),
        (false, None) if ends_segment => (b"/", kept),
        (true, None) | (false, _) => (b"", kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(before: &str, after: &str) -> NewPath {
        let (before, after) = (before.into(), after.into());
        NewPath::from(&model::NewPath::Prefix { before, after })
    }

    fn new(path: &NewPath, target: &str) -> Option<String> {
        let target = path.of(target.as_bytes());
        target.map(|target| String::from_utf8(target).unwrap())
    }

    #[test]
    fn a_prefix_is_replaced_and_the_rest_is_kept() {
        for (before, after, target, expected) in [
            ("/chat", "/v2", "/chat", "/v2"),
            ("/chat", "/v2", "/chat?a=/chat", "/v2?a=/chat"),
            ("/chat", "/v2", "/chat/room/chat", "/v2/room/chat"),
            ("/chat", "/v2", "/chatter", "/v2ter"),
            ("/chat", "/v2/", "/chat/room", "/v2/room"),
            ("/chat", "/v2/", "/chat", "/v2/"),
            ("/chat/", "/v2", "/chat/room?", "/v2/room?"),
            ("/chat/", "/v2", "/chat/", "/v2/"),
            ("/chat/", "/v2", "/chat//room", "/v2/room"),
            ("/chat/", "/v2/", "/chat/room", "/v2/room"),
            ("/chat", "/", "/chat/room", "/room"),
            ("/chat", "/", "/chat", "/"),
            ("/", "/v2", "/room", "/v2/room"),
            ("", "/v2", "/room", "/v2/room"),
            ("", "/v2/", "/", "/v2/"),
            ("/chat", "/", "/chat/", "/"),
            ("/", "/v2", "/", "/v2/"),
            ("/", "/v2", "/?a", "/v2/?a"),
            ("/chat", "/v2", "http://h:1/chat/a?b", "http://h:1/v2/a?b"),
            ("/", "/v2", "http://h", "http://h/v2/"),
            ("/", "/v2", "http://h?a", "http://h/v2/?a"),
        ] {
            let found = new(&prefix(before, after), target);
            let what = format!("{before} by {after} in {target}");
            assert_eq!(found.as_deref(), Some(expected), "{what}");
        }
    }

    #[test]
    fn a_path_is_replaced_as_a_whole_and_what_is_none_is_left_alone() {
        let path = NewPath::Whole("/ws".into());
        for (target, expected) in [
            ("/", Some("/ws")),
            ("/a/b?c=d?e", Some("/ws?c=d?e")),
            ("https://h/a?b", Some("https://h/ws?b")),
            ("*", None),
        ] {
            assert_eq!(new(&path, target).as_deref(), expected, "{target}");
        }
        assert_eq!(new(&prefix("/", "/v2"), "*"), None);
        assert_eq!(path.of(b"/\xFF?\xFE"), Some(b"/ws?\xFE".to_vec()));
    }
}
