//! `valuesFile`: blocks of addresses in a file of their own, one a line.
//!
//! Empty lines count for nothing, nor does what follows a `#`. What is in a line that is wrong is
//! not told: over an API anybody's file may be named.

use std::path::Path;
use std::sync::Arc;

use super::super::model::{Blocks, BlocksFile};
use super::super::scalar;
use super::super::tree::Node;
use super::pem::contents;

/// How many blocks a file may have. One takes 8 bytes, of IPv6 32, and ten times that while it is
/// read.
const MOST: usize = 500_000;

pub(super) fn read(node: &Node) -> Option<BlocksFile> {
    let path = node.path_of_file()?;
    let blocks = node.in_common(&path, || blocks(node, &path))?;
    let path = path.into();
    Some(BlocksFile { path, blocks })
}

fn blocks(node: &Node, path: &Path) -> Option<Arc<Blocks>> {
    let text = contents(node)?;
    let mut blocks = Vec::new();
    for (place, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line
            .split(|byte| *byte == b'#')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if line.is_empty() {
            continue;
        }
        let block = std::str::from_utf8(line).ok().and_then(scalar::block);
        let Some(block) = block.filter(|_| blocks.len() < MOST) else {
            let what = match block {
                Some(_) => format!("is too many: a file may have {MOST} blocks"),
                None => "must be a block of IP addresses (\"10.0.0.0/8\") or one address".into(),
            };
            return node.problem(format!("{}:{}: {what}", path.display(), place + 1));
        };
        blocks.push(block);
    }
    if blocks.is_empty() {
        node.warning("has no block of addresses");
    }
    Some(Arc::new(Blocks::from(&blocks)))
}
