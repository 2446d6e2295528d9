//! `server.sessionTicketKeyFile`, `server.stickinessKeyFile` and
//! `api.store.sealingKeyFile`: a key of 32 bytes in base64 on
//! each line. No message shows what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::super::model::SessionTicketKeys;
use super::super::secret_key::SecretKey;
use super::super::tree::Node;
use super::pem::contents;

const MOST: usize = 8;
/// Whoever is neither the owner nor of the group may read.
const OTHERS_READ: u32 = 0o004;

/// The keys of session tickets.
pub(super) fn session_tickets(node: &Node) -> Option<SessionTicketKeys> {
    let keys = read(node, "sessions can be decrypted and forged")?;
    let path = node.path_of_file()?;
    let path = Some(path);
    Some(SessionTicketKeys { path, keys })
}

/// The keys of sticky cookies.
pub(super) fn stickiness(node: &Node) -> Option<Vec<SecretKey>> {
    read(node, "clients can choose their targets")
}

/// The keys that keys are sealed with.
pub(super) fn sealing(node: &Node) -> Option<Vec<SecretKey>> {
    read(node, "the keys that nodes have in common can be read")
}

/// What is in a file; `danger` is what its keys are good for.
fn read(node: &Node, danger: &str) -> Option<Vec<SecretKey>> {
    let path = node.path_of_file()?;
    let bytes = Zeroizing::new(contents(node)?);
    let mut keys = Vec::new();
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let text = std::str::from_utf8(line).ok();
        match text.and_then(SecretKey::from_base64) {
            Some(key) => keys.push(key),
            None => {
                let line = place + 1;
                return node.problem(format!(
                    "line {line} is no key: must be 32 bytes in base64, as `openssl rand \
                     -base64 32` prints them"
                ));
            }
        }
        if keys.len() > MOST {
            return node.problem(format!("has more than {MOST} keys"));
        }
    }
    if keys.is_empty() {
        return node.problem("has no key");
    }
    warn_of_readers(&path, danger, node);
    Some(keys)
}

fn warn_of_readers(path: &Path, danger: &str, node: &Node) {
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o777);
    if mode & OTHERS_READ != 0 {
        node.warning(format!(
            "every user can read this file (mode {mode:04o}): with its keys {danger}"
        ));
    }
}
