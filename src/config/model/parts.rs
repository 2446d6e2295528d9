//! Which objects of a configuration are of which file, where one file includes others.

use std::ops::Range;
use std::sync::Arc;

/// The lists that files may have in common.
pub const LISTS: [&str; 3] = ["certificates", "forwardingRules", "targetGroups"];

/// The files that are included. Their objects follow those of the file that includes them.
#[derive(Debug, Clone, Default)]
pub struct Parts(pub Vec<Part>);

/// A file that is included.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its path, as messages show it.
    pub file: Arc<str>,
    /// What it has of each of [`LISTS`], by the places in the whole.
    pub places: [Range<usize>; 3],
}

impl Parts {
    /// The file of what is at this path in the whole, and its path there; `None` for the file that
    /// includes the others.
    pub fn own(&self, path: &str) -> Option<(&Arc<str>, String)> {
        let (list, after) = path.split_once('[')?;
        let (index, rest) = after.split_once(']')?;
        let index = index.parse().ok()?;
        let list = LISTS.iter().position(|known| *known == list)?;
        let part = self
            .0
            .iter()
            .find(|part| part.places[list].contains(&index))?;
        let index = index - part.places[list].start;
        Some((&part.file, format!("{}[{index}]{rest}", LISTS[list])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_an_included_file_has_its_place_there() {
        let part = |file: &str, rules| Part {
            file: file.into(),
            places: [0..0, rules, 0..0],
        };
        let parts = Parts(vec![part("a", 2..2), part("b", 2..4), part("c", 4..5)]);
        for (path, expected) in [
            ("forwardingRules[1].name", None),
            (
                "forwardingRules[3].httpRules[4]",
                Some(("b", "forwardingRules[1].httpRules[4]")),
            ),
            ("forwardingRules[4]", Some(("c", "forwardingRules[0]"))),
            ("forwardingRules[5]", None),
            ("targetGroups[3]", None),
            ("forwardingRules", None),
            ("forwardingRules[x]", None),
        ] {
            let found = parts.own(path);
            let found = found.as_ref().map(|(file, path)| (&***file, path.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }
}
