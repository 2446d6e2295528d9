//! Which commit this is, for `culvert --version` and `culvert_build_info`.
//!
//! It is asked of git, where this folder is a work tree of its own; `SOURCE_DATE_EPOCH` wins over
//! the commit's date. Another commit is another build, and nothing else is.

use std::env;
use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let is_ours = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let commit = is_ours
        .then(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .flatten();
    if commit.is_some() {
        watch();
    }
    let at = env::var("SOURCE_DATE_EPOCH").ok();
    let at = at.or_else(|| {
        commit
            .as_ref()
            .and_then(|_| git(&["log", "-1", "--format=%ct"]))
    });
    let date = at.and_then(|at| at.trim().parse().ok()).map(date);
    let version = env!("CARGO_PKG_VERSION");
    let commit = commit.unwrap_or_else(|| UNKNOWN.to_owned());
    let told = match &date {
        Some(date) => format!("{version} (commit {commit}, {date})"),
        None => format!("{version} (commit {commit})"),
    };
    println!("cargo::rustc-env=CULVERT_VERSION={told}");
    println!("cargo::rustc-env=CULVERT_COMMIT={commit}");
    println!(
        "cargo::rustc-env=CULVERT_DATE={}",
        date.as_deref().unwrap_or(UNKNOWN)
    );
}

/// Has this be done again when another commit is checked out, or made.
fn watch() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // The log of HEAD has each commit; the branch may have no file of its own.
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        // A file that is not there would have this done each time.
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// What git says here, in one line.
fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| text.trim().to_owned())
}

/// The day of a time in seconds since 1970, in UTC (Howard Hinnant, "chrono-compatible low-level
/// date algorithms").
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}
