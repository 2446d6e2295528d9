//! The pages that come with Culvert, as a reader sees them: headings, links, tables and blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A page of Markdown.
pub struct Page {
    /// Where it is in the repository.
    pub path: String,
    text: String,
}

/// A block of code.
pub struct Block {
    /// Its page and its first line.
    pub place: String,
    /// What its fence says: the language, and what is not done with it.
    pub info: String,
    /// What is between the fences.
    pub text: String,
}

/// All pages that are written for readers.
pub fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY"]
        .map(|name| format!("{name}.md"))
        .to_vec();
    for entry in std::fs::read_dir(repository("docs")).unwrap() {
        let entry = entry.unwrap();
        // Folders have what pages refer to.
        if entry.file_type().unwrap().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        assert!(name.ends_with(".md"), "docs/{name} is no page");
        paths.push(format!("docs/{name}"));
    }
    paths.iter().map(|path| page(path)).collect()
}

/// One of them.
pub fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(repository(path)).expect(path);
    let path = path.to_owned();
    Page { path, text }
}

/// Where something of the repository is.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The blocks of all pages whose fences say this.
pub fn blocks_of(info: &str) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|page| page.blocks());
    all.filter(|block| block.info == info).collect()
}

impl Page {
    /// Its lines with their numbers, each with the fence of the block that it is in.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
        let mut fence: Option<&str> = None;
        self.text
            .lines()
            .enumerate()
            .filter_map(move |(number, line)| {
                let Some(info) = line.trim_start().strip_prefix("```") else {
                    return Some((number + 1, line, fence));
                };
                fence = fence.is_none().then_some(info);
                None
            })
    }

    /// What is not code.
    pub fn prose(&self) -> String {
        let prose = self.lines().filter(|(_, _, fence)| fence.is_none());
        prose.map(|(_, line, _)| format!("{line}\n")).collect()
    }

    /// Its blocks of code.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: BTreeMap<usize, Block> = BTreeMap::new();
        let mut before = (0, 0);
        for (number, line, fence) in self.lines() {
            let Some(info) = fence else { continue };
            let first = if before.1 + 1 == number {
                before.0
            } else {
                number
            };
            before = (first, number);
            let block = blocks.entry(first).or_insert_with(|| Block {
                place: format!("{}:{first}", self.path),
                info: info.to_owned(),
                text: String::new(),
            });
            block.text.push_str(line);
            block.text.push('\n');
        }
        blocks.into_values().collect()
    }

    /// Its headings, without their marks.
    pub fn headings(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let bare = headings.map(|line| line.trim_start_matches('#').trim().to_owned());
        bare.collect()
    }

    /// What its headings are called in addresses, as GitHub makes it.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let anchor = |heading: &String| {
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            match *count - 1 {
                0 => anchor,
                again => format!("{anchor}-{again}"),
            }
        };
        self.headings().iter().map(anchor).collect()
    }

    /// Where its links lead, pictures among them.
    pub fn links(&self) -> Vec<String> {
        let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
        let prose = self.prose();
        let found = link.captures_iter(&prose);
        found.map(|found| found[1].to_owned()).collect()
    }

    /// What stands under a heading, up to the next of the same level or a higher one.
    pub fn section(&self, heading: &str) -> String {
        let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
        let is_it =
            |line: &&str| line.starts_with('#') && line.trim_start_matches('#').trim() == heading;
        let prose = self.prose();
        let mut lines = prose.lines().skip_while(|line| !is_it(line));
        let depth = level(
            lines
                .next()
                .unwrap_or_else(|| panic!("{}: no {heading:?}", self.path)),
        );
        let within = lines.take_while(|line| level(line) == 0 || level(line) > depth);
        within.map(|line| format!("{line}\n")).collect()
    }

    /// The first block under a heading whose fence says this.
    pub fn block(&self, heading: &str, info: &str) -> String {
        let (_, below) = self
            .text
            .split_once(&format!("# {heading}\n"))
            .expect(heading);
        let (_, block) = below.split_once(&format!("\n```{info}\n")).expect(info);
        block.split("\n```").next().unwrap().to_owned() + "\n"
    }

    /// What is between backticks in this column of the tables under a heading, but for their heads.
    pub fn quoted(&self, heading: &str, column: usize) -> Vec<String> {
        let section = self.section(heading);
        let lines: Vec<&str> = section.lines().map(str::trim).collect();
        let is_below = |place: &usize| {
            !lines
                .get(place + 1)
                .is_some_and(|next| next.starts_with("|--"))
        };
        let rows = (0..lines.len())
            .filter(|place| lines[*place].starts_with("| "))
            .filter(is_below);
        let cells = rows.filter_map(|place| lines[place].trim_matches('|').split('|').nth(column));
        let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        quoted.map(str::to_owned).collect()
    }
}

/// A file with something of ours in the place of what it shows, which must be there.
pub fn swap(file: &str, shown: &str, ours: &str) -> String {
    assert!(file.contains(shown), "{shown}");
    file.replace(shown, ours)
}
