//! The pages lead to each other, and to files that are there.

use regex::Regex;

use crate::harness::docs::{Page, page, pages, repository};

/// Why a link of a page leads nowhere, if so.
fn broken(from: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = if from.path.starts_with("docs/") {
        "docs/"
    } else {
        ""
    };
    let to = match path {
        "" => from.path.clone(),
        path => format!("{folder}{path}").replace("docs/../", ""),
    };
    if !repository(&to).exists() {
        return Some(format!("{}: {link}: there is no {to}", from.path));
    }
    let is_there = anchor.is_empty() || page(&to).anchors().iter().any(|known| known == anchor);
    (!is_there).then(|| format!("{}: {link}: no such heading", from.path))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let links = page.links();
        count += links.len();
        wrong.extend(links.iter().filter_map(|link| broken(&page, link)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 100, "{count} links");
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let reference = page("docs/reference.md");
    for link in [
        "#no-such-heading",
        "no-such-page.md",
        "guide.md#no-such-heading",
        "../no/such",
    ] {
        assert!(broken(&reference, link).is_some(), "{link}");
    }
    for link in [
        "#metrics",
        "guide.md",
        "runbook.md#culvertdown",
        "../conf/culvert.yaml",
    ] {
        assert_eq!(broken(&reference, link), None);
    }
}

#[test]
fn what_other_files_say_of_a_page_is_there() {
    let mention = Regex::new(r#"(docs/\w+\.md)(?:#([\w-]+)|, "([^"]+)")?"#).unwrap();
    for file in [
        "conf/culvert.yaml",
        "grafana/alerts.yaml",
        "systemd/culvert.service",
    ] {
        let text = std::fs::read_to_string(repository(file)).unwrap();
        for found in mention.captures_iter(&text) {
            let page = page(&found[1]);
            if let Some(anchor) = found.get(2) {
                let anchor = anchor.as_str().to_owned();
                assert!(page.anchors().contains(&anchor), "{file}: {}", &found[0]);
            }
            if let Some(heading) = found.get(3) {
                let heading = heading.as_str().to_owned();
                assert!(page.headings().contains(&heading), "{file}: {}", &found[0]);
            }
        }
    }
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let links = page("README.md").links();
    for page in pages().iter().filter(|page| page.path != "README.md") {
        assert!(
            links.contains(&page.path),
            "README.md does not lead to {}",
            page.path
        );
    }
}
