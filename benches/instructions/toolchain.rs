//! What the counts depend on beside the source: with other compilers and other libraries they
//! differ.

use std::fs;
use std::io;
use std::process::Command;

/// The compiler, the C library and valgrind, in one line.
pub(crate) fn describe() -> io::Result<String> {
    let rustc = said("rustc", &["--version"])?;
    let libc = said("getconf", &["GNU_LIBC_VERSION"])?;
    let valgrind = said("valgrind", &["--version"])?;
    let valgrind = valgrind.replace('-', " ");
    Ok(format!("{rustc}, {libc}, {valgrind}"))
}

/// The processor: libraries choose their code by what it can do.
pub(crate) fn processor() -> io::Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    Ok(name
        .map_or("unknown processor", |(_, name)| name)
        .to_owned())
}

fn said(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| {
        io::Error::other(format!(
            "{program}: {error}; `make bench-instructions` installs what is missing"
        ))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
