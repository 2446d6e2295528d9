//! Clients and targets in Python, which `make test` installs.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// One of the scripts in `tests/edge/python`.
pub fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = match std::env::var_os("CULVERT_TEST_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => root.join("target/venv/bin/python"),
    };
    assert!(
        interpreter.exists(),
        "no Python with websockets at {}: run `make test`, which installs it",
        interpreter.display()
    );
    let mut command = Command::new(interpreter);
    command.arg(root.join("tests/edge/python").join(script));
    command.kill_on_drop(true);
    command
}
