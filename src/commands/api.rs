//! `culvert api`.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use crate::cli::Kept;
use crate::config;
use crate::ionos;

/// Exports what is kept, or imports it.
pub(super) fn run(command: &Kept, conf: &Path) -> Result<String, String> {
    let file = config::load(conf)
        .map_err(|problems| problems.to_string())?
        .config;
    let name = conf.display();
    match command {
        Kept::Export => ionos::export(&file).map_err(|why| format!("{name}: {why}")),
        Kept::Import { path } => {
            let text = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let imported = ionos::import(&file, &text);
            let count = imported.map_err(|why| format!("{}: {why}", path.display()))?;
            Ok(format!("culvert: {count} objects are imported"))
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
