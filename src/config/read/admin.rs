//! `admin`: where operators are heard, and who they must be.
//!
//! An address that others than this machine's processes can reach needs a token. The token's file
//! is read here, as the certificates' files are, so that one that cannot be used is a problem like
//! any other.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::super::model::{Admin, AdminAddress, Token};
use super::super::tree::{Mapping, Node};
use super::addresses::{Addresses, Families};
use super::defaults;

pub(super) const KEYS: &[&str] = &["listen", "mode", "tokenFile", "readOnly", "hostNames"];

/// The longest path that fits into a Unix socket's address.
const LONGEST_PATH: usize = 107;
const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 4096;
const READ_BY_OTHERS: u32 = 0o004;
const USED_BY_OTHERS: u32 = 0o002;

pub(super) fn read(top: &Mapping, addresses: &mut Addresses) -> Option<Admin> {
    let mapping = top.section("admin", KEYS)?;
    let listen = mapping.or("listen", defaults::admin_listen(), address);
    let token = mapping.or("tokenFile", None, |node| token(node).map(Some));
    let mode = mode(&mapping, listen.as_ref());
    let read_only = mapping.or("readOnly", false, |node| node.boolean());
    let host_names = mapping.or("hostNames", Vec::new(), |list| {
        list.each(|node| name(&node))
    });
    if let Some(AdminAddress::Tcp(address)) = &listen {
        let families = Families::of(*address, true);
        addresses.enter(*address, families, "admin.listen", &mapping, "listen");
        if !address.ip().is_loopback() && mapping.get("tokenFile").is_none() {
            let message = "must be a loopback address, or unix:PATH, or tokenFile must be set: \
                           others could end tunnels";
            return mapping.problem("listen", message);
        }
    }
    let (mode, token) = (mode?, token?);
    if mode & USED_BY_OTHERS != 0 && token.is_none() {
        mapping.warning("mode", "every user of this machine may end tunnels");
    }
    Some(Admin {
        listen: listen?,
        mode,
        token,
        read_only: read_only?,
        host_names: host_names?,
    })
}

fn address(node: &Node) -> Option<AdminAddress> {
    let text = node.value.as_str().unwrap_or_default();
    let Some(path) = text.strip_prefix("unix:") else {
        return node.socket_address().map(AdminAddress::Tcp);
    };
    match path.starts_with('/') && path.len() <= LONGEST_PATH && !path.contains('\0') {
        true => Some(AdminAddress::Unix(PathBuf::from(path))),
        false => node.wrong(&format!(
            "unix: and an absolute path of at most {LONGEST_PATH} bytes"
        )),
    }
}

fn mode(admin: &Mapping, listen: Option<&AdminAddress>) -> Option<u32> {
    if let Some(AdminAddress::Tcp(_)) = listen {
        admin.forbidden("mode", "is only for admin.listen: unix:PATH");
    }
    admin.or("mode", defaults::ADMIN_MODE, |node| {
        let text = node.value.as_str().unwrap_or_default();
        let digits = text.strip_prefix('0').unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok();
        let mode = mode.filter(|_| digits.len() == 3);
        mode.or_else(|| node.wrong("three octal digits in quotes (\"0660\")"))
    })
}

/// What is in the file, without white space around it.
fn token(node: &Node) -> Option<Token> {
    let path = node.path_of_file()?;
    let text = match read_bounded(&path) {
        Ok(text) => text,
        Err(error) => {
            return node.problem(format!("{}: cannot be read: {error}", path.display()));
        }
    };
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

fn read_bounded(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = 2 * LONGEST_TOKEN as u64;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(node: &Node) -> Option<String> {
    let text = node.text()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match text.bytes().all(is_plain) {
        true => Some(text.to_ascii_lowercase()),
        false => node.wrong("a host name, without a port"),
    }
}
