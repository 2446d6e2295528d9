//! Clients and targets in Node, whose modules `make test` installs.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// One of the scripts in `tests/edge/node`.
pub fn node(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = std::env::var_os("CULVERT_TEST_NODE").map(PathBuf::from);
    let modules = installed
        .unwrap_or_else(|| root.join("target/node"))
        .join("node_modules");
    assert!(
        modules.exists(),
        "no modules at {}: run `make test`, which installs them",
        modules.display()
    );
    let mut command = Command::new("node");
    command.arg(root.join("tests/edge/node").join(script));
    command.env("NODE_PATH", modules).kill_on_drop(true);
    command
}
