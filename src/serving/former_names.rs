//! What target groups were called before: tunnels go by the name that their group had when they
//! were opened.

use std::collections::HashMap;

/// The former names of target groups, by their present ones.
#[derive(Debug, Default, Clone)]
pub(super) struct FormerNames(HashMap<String, Vec<String>>);

impl FormerNames {
    /// Has groups of one name have another. Former names that are of no use any more go.
    pub(super) fn rename(&mut self, names: &[(String, String)], is_in_use: impl Fn(&str) -> bool) {
        let taken = names.iter().map(|(before, now)| {
            let mut former = self.0.remove(before).unwrap_or_default();
            former.push(before.clone());
            (now.clone(), former)
        });
        let taken: Vec<_> = taken.collect();
        self.0.extend(taken);
        self.0.retain(|_, former| {
            former.retain(|name| is_in_use(name));
            !former.is_empty()
        });
    }

    /// All of them.
    pub(super) fn all(&self) -> HashMap<String, Vec<String>> {
        self.0.clone()
    }

    /// What another process knows counts here, too.
    pub(super) fn learn(&mut self, names: &HashMap<String, Vec<String>>) {
        for (now, former) in names {
            let known = self.0.entry(now.clone()).or_default();
            let new = former.iter().filter(|name| !known.contains(name));
            let new: Vec<String> = new.cloned().collect();
            known.extend(new);
        }
    }

    /// The former names of the group that has this name.
    pub(super) fn of(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The present name of the group that has, or had, this name.
    pub(super) fn present<'a>(&'a self, name: &'a str) -> &'a str {
        let mut all = self.0.iter();
        let found = all.find(|(_, former)| former.iter().any(|one| one == name));
        found.map_or(name, |(now, _)| now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_all_names_that_tunnels_have_for_it() {
        let mut names = FormerNames::default();
        let pair = |before: &str, now: &str| (before.to_owned(), now.to_owned());
        names.rename(&[pair("a", "b")], |_| true);
        names.rename(&[pair("b", "c")], |_| true);
        assert_eq!(names.of("c"), ["a", "b"]);
        assert_eq!((names.present("a"), names.present("c")), ("c", "c"));
        names.rename(&[pair("c", "d")], |name| name == "a");
        assert_eq!(names.of("d"), ["a"]);
        names.rename(&[], |_| false);
        assert_eq!(names.of("d"), [""; 0]);
    }
}
