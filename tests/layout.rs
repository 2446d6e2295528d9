//! The house stays as it is drawn: no circle between rooms, none between files, and nothing that has
//! grown too long to be read. Functions that have are clippy's business.
//!
//! A file knows another where it names something that is defined there. A name that a parent only
//! passes on is not the parent's, and what tests name does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Ident, ItemUse, UseTree, Visibility};

const MOST_LINES: usize = 400;
const MOST_COLUMNS: usize = 100;

/// The segments of a path, or of the path of a module.
type Segments = Vec<String>;
/// Who knows whom, and by which path.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// What a file names.
#[derive(Default)]
struct Names {
    /// What is imported, by the name that it has here.
    imports: BTreeMap<String, Segments>,
    /// What is used here, and not only passed on.
    used: BTreeSet<Segments>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut imports = Vec::new();
        flatten(&item.tree, &[], &mut imports);
        if matches!(item.vis, Visibility::Inherited) {
            let paths = imports.iter().map(|(_, path)| path.clone());
            self.used.extend(paths);
        }
        self.imports.extend(imports);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        self.used.insert(names.collect());
        visit::visit_path(self, path);
    }

    /// `pub(in …)` names who may know, not who is known.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// All that is imported: the name that it has here, and its path.
fn flatten(tree: &UseTree, before: &[String], imports: &mut Vec<(String, Segments)>) {
    let with = |name: &Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(tree) => flatten(&tree.tree, &with(&tree.ident), imports),
        UseTree::Group(group) => {
            let trees = group.items.iter();
            trees.for_each(|tree| flatten(tree, before, imports));
        }
        UseTree::Name(tree) if tree.ident == "self" => {
            imports.extend(before.last().map(|name| (name.clone(), before.to_vec())));
        }
        UseTree::Name(tree) => imports.push((tree.ident.to_string(), with(&tree.ident))),
        UseTree::Rename(tree) => imports.push((tree.rename.to_string(), with(&tree.ident))),
        UseTree::Glob(_) => imports.push(("*".to_owned(), before.to_vec())),
    }
}

/// The names in all files of the library, by their modules.
struct House(BTreeMap<Segments, Names>);

impl House {
    fn read() -> Self {
        let read = |(name, text): (String, String)| {
            let mut names = Names::default();
            names.visit_file(&syn::parse_file(code(&text)).expect(&name));
            let parts = name.trim_end_matches(".rs").split('/');
            let module = parts.filter(|part| !["src", "mod", "lib"].contains(part));
            (module.map(str::to_owned).collect(), names)
        };
        let files = files("src")
            .into_iter()
            .filter(|(name, _)| name != "src/main.rs");
        House(files.map(read).collect())
    }

    /// The module that defines what a path means in this one; `None` where that is not ours.
    fn find(&self, module: &[String], path: &[String]) -> Option<Segments> {
        let mut module = module.to_vec();
        for (place, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => module.push(name.clone()),
            }
            // A name by itself may be that of a variable.
            if self.0.contains_key(&module) && path.len() > 1 {
                continue;
            }
            module.pop();
            return match self.0[&module].imports.get(name) {
                Some(import) if import != path => {
                    self.find(&module, &[import, &path[place + 1..]].concat())
                }
                _ => (place > 0).then_some(module),
            };
        }
        Some(module)
    }

    /// Which module knows which, where only so many of their segments count.
    fn graph(&self, depth: usize) -> Graph {
        let called = |module: &[String]| module[..module.len().min(depth)].join("::");
        let mut graph = Graph::new();
        for (module, names) in &self.0 {
            let known = names.used.iter().filter_map(|path| {
                let known = called(&self.find(module, path)?);
                Some((known, path.join("::")))
            });
            let others = known.filter(|(known, _)| *known != called(module));
            graph.entry(called(module)).or_default().extend(others);
        }
        graph
    }
}

/// Some who know each other in a circle, if any do.
fn circle(graph: &Graph) -> Option<String> {
    let mut names = graph.keys();
    names.find_map(|name| way(graph, name, name, &mut BTreeSet::new()))
}

/// A way from one to another, past nobody who was seen before.
fn way<'a>(
    graph: &'a Graph,
    from: &'a str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> Option<String> {
    graph[from].iter().find_map(|(next, path)| {
        let rest = match next == to {
            true => Some(to.to_owned()),
            false => seen.insert(next).then(|| way(graph, next, to, seen))?,
        };
        rest.map(|rest| format!("{from} (by {path}) knows {rest}"))
    })
}

/// What is before the tests of a file.
fn code(text: &str) -> &str {
    let tests = text.find("\n#[cfg(test)]\n");
    let tests = tests.filter(|at| text[*at..].contains("mod tests {"));
    tests.map_or(text, |at| &text[..at + 1])
}

/// The files of a folder and of those in it, with their text.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).expect(folder).flatten();
    let names = entries.map(|entry| format!("{folder}/{}", entry.file_name().display()));
    let found = names.flat_map(|name| match Path::new(&name).is_dir() {
        true => files(&name),
        false => vec![(name.clone(), fs::read_to_string(name).unwrap_or_default())],
    });
    found.filter(|(name, _)| name.ends_with(".rs")).collect()
}

#[test]
fn no_rooms_know_each_other_in_a_circle() {
    assert_eq!(circle(&House::read().graph(1)), None);
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    assert_eq!(circle(&House::read().graph(usize::MAX)), None);
}

#[test]
fn no_file_has_more_lines_of_code_than_can_be_read() {
    for (name, text) in files("src") {
        let lines = code(&text).lines().count();
        assert!(lines <= MOST_LINES, "{name}: {lines} lines of code");
    }
}

#[test]
fn no_line_is_too_wide_but_rows_of_tables_and_raw_strings() {
    for (name, text) in files("src") {
        let cannot_be_broken = |line: &str| line.contains("r#\"") || line.starts_with("//! |");
        let lines = text.lines().zip(1..);
        for (line, number) in lines.filter(|(line, _)| !cannot_be_broken(line)) {
            let columns = line.chars().count();
            assert!(columns <= MOST_COLUMNS, "{name}:{number}: {columns} wide");
        }
    }
}
