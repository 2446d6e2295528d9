//! What `admin` and `api` have in common: where operators are heard, and who they must be.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::model::{ListenAddress, Token};
use super::super::tree::{Mapping, Node};
use super::defaults;

/// The longest path that fits into a Unix socket's address.
const LONGEST_PATH: usize = 107;
const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 4096;
const READ_BY_OTHERS: u32 = 0o004;

/// Where is listened: an address and a port, or a Unix socket.
pub(super) fn address(node: &Node) -> Option<ListenAddress> {
    let text = node.value.as_str().unwrap_or_default();
    let Some(path) = text.strip_prefix("unix:") else {
        return node.socket_address().map(ListenAddress::Tcp);
    };
    match path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0') {
        true => Some(ListenAddress::Unix(PathBuf::from(path))),
        false => node.wrong(&format!(
            "unix: and an absolute path of at most {LONGEST_PATH} bytes"
        )),
    }
}

/// Who may use the Unix socket that `listen` of this section is.
pub(super) fn mode(section: &Mapping, listen: Option<&ListenAddress>) -> Option<u32> {
    if let Some(ListenAddress::Tcp(_)) = listen {
        let name = section.path();
        section.forbidden("mode", &format!("is only for {name}.listen: unix:PATH"));
    }
    section.or("mode", defaults::ADMIN_MODE, |node| {
        let text = node.value.as_str().unwrap_or_default();
        let digits = text.strip_prefix('0').unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok();
        let mode = mode.filter(|_| digits.len() == 3);
        mode.or_else(|| node.wrong("three octal digits in quotes (\"0660\")"))
    })
}

/// What is in the file, without white space around it.
pub(super) fn token(node: &Node) -> Option<Token> {
    let path = node.path_of_file()?;
    let text = content(node, &path, 2 * LONGEST_TOKEN as u64)?;
    let text = text.trim_ascii();
    let is_long_enough = (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&text.len());
    let text = std::str::from_utf8(text).ok();
    let Some(text) =
        text.filter(|text| is_long_enough && text.bytes().all(|b| b.is_ascii_graphic()))
    else {
        let path = path.display();
        return node.problem(format!(
            "{path}: must hold one token of {SHORTEST_TOKEN} to {LONGEST_TOKEN} visible \
             ASCII characters"
        ));
    };
    if fs::metadata(&path).is_ok_and(|file| file.mode() & READ_BY_OTHERS != 0) {
        node.warning(format!("{}: every user can read it", path.display()));
    }
    Some(Token(text.into()))
}

/// What is in a file, of which no more than this is read.
pub(super) fn content(node: &Node, path: &Path, limit: u64) -> Option<Vec<u8>> {
    match read_bounded(path, limit) {
        Ok(text) => Some(text),
        Err(error) => node.problem(format!("{}: cannot be read: {error}", path.display())),
    }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name by which a host is called.
pub(super) fn host_name(node: &Node) -> Option<String> {
    let text = node.text()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match text.bytes().all(is_plain) {
        true => Some(text.to_ascii_lowercase()),
        false => node.wrong("a host name, without a port"),
    }
}
