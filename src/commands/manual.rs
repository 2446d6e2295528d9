//! `culvert man` and `culvert completions`: from the same description of the command line as its
//! help.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Arguments;

/// Writes `culvert.1`, and a page for each command, into a folder.
pub(super) fn pages(directory: &Path) -> Result<String, String> {
    let written = fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory));
    let failed = |error| format!("culvert: {}: {error}", directory.display());
    written.map(|()| String::new()).map_err(failed)
}

/// The script for a shell.
pub(super) fn completions(shell: Shell) -> Result<String, String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "culvert", &mut script);
    String::from_utf8(script).map_err(|error| format!("culvert: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_a_script() {
        let folder = tempfile::tempdir().unwrap();
        let pages_in = folder.path().join("man1");
        pages(&pages_in).unwrap();
        let page = |name: &str| fs::read_to_string(pages_in.join(name)).unwrap();
        assert!(page("culvert.1").contains(env!("CULVERT_VERSION")));
        for command in Arguments::command().get_subcommands() {
            if command.is_hide_set() {
                continue;
            }
            assert!(page(&format!("culvert-{}.1", command.get_name())).contains(".SH OPTIONS"));
        }
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            assert!(
                completions(shell).unwrap().contains("token-file"),
                "{shell}"
            );
        }
    }
}
