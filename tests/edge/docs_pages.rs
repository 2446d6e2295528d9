//! What the pages are made of: how long they are, and that each block of code says what is done
//! with it.

use std::collections::BTreeMap;

use crate::harness::docs::{page, pages, repository};

/// What a fence may say. All but the last three are loaded or run by tests.
const KINDS: &[&str] = &[
    "yaml",
    "yaml prometheus",
    "yaml kubernetes",
    "yaml gateway",
    "haproxy",
    "sh",
    "console",
    "sh not-run",
    "conf not-run",
    "text",
];
/// How many blocks may say that they are not run.
const NOT_RUN: usize = 12;

#[test]
fn every_block_of_code_says_what_is_done_with_it_and_few_are_not_run() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for block in pages().iter().flat_map(|page| page.blocks()) {
        assert!(
            KINDS.contains(&block.info.as_str()),
            "{}: {:?}",
            block.place,
            block.info
        );
        *counts.entry(block.info).or_default() += 1;
    }
    let not_run = counts.iter().filter(|(info, _)| info.ends_with("not-run"));
    assert!(
        not_run.map(|(_, count)| count).sum::<usize>() <= NOT_RUN,
        "{counts:?}"
    );
    assert!(counts["yaml"] >= 15 && counts["sh"] >= 10, "{counts:?}");
}

#[test]
fn what_is_read_first_is_short() {
    for (path, most) in [
        ("README.md", 200),
        ("CONTRIBUTING.md", 60),
        ("SECURITY.md", 60),
        ("CHANGELOG.md", 60),
    ] {
        let text = std::fs::read_to_string(repository(path)).unwrap();
        assert!(
            text.lines().count() <= most,
            "{path} has {} lines",
            text.lines().count()
        );
    }
}

#[test]
fn the_readme_has_the_two_commands_that_set_a_machine_up() {
    let blocks = page("README.md").blocks();
    for command in ["make demo", "make test"] {
        let is_it = |line: &str| line.starts_with(command);
        let has_it = blocks
            .iter()
            .any(|block| block.info == "sh" && block.text.lines().any(is_it));
        assert!(has_it, "{command}");
    }
}

#[test]
fn the_smallest_useful_file_is_the_one_that_comes_with_it() {
    let parse = |text: &str| serde_yaml::from_str::<serde_json::Value>(text).unwrap();
    let shown = page("README.md").block("The smallest useful file", "yaml");
    let file = std::fs::read_to_string(repository("conf/minimal.yaml")).unwrap();
    assert_eq!(parse(&shown), parse(&file));
}

#[test]
fn long_pages_have_contents_that_name_every_chapter() {
    for path in [
        "docs/reference.md",
        "docs/guide.md",
        "docs/ionos-api.md",
        "docs/runbook.md",
        "docs/internals.md",
    ] {
        let page = page(path);
        let prose = page.prose();
        let (contents, _) = prose.split_once("\n## ").unwrap();
        let chapters = prose.lines().filter_map(|line| line.strip_prefix("## "));
        for chapter in chapters {
            let link = format!("[{}](#", chapter.replace('`', ""));
            assert!(
                contents.contains(&link),
                "{path}: {chapter} is not in the contents"
            );
        }
    }
}
