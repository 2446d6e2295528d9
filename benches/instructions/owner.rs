//! Whose the code is that an instruction was made from.
//!
//! A function holds what the compiler has copied into it from others, and callgrind tells the file
//! of each line: what Pingora inlines from http is http's. Rust's own library is written for its
//! callers: what lies in its files is theirs whose function it is in.

use std::fmt;

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Culvert.
    Ours,
    /// Pingora's crates.
    Pingora,
    /// http and httparse: header maps, heads.
    Http,
    /// tokio and mio.
    Tokio,
    /// jemalloc and what calls it.
    Allocator,
    /// h2.
    H2,
    /// rustls and ring.
    Tls,
    /// glibc, nearly all of it moves of memory.
    Libc,
    /// Other crates, and what of Rust's library is in nobody's function.
    Others,
}

impl Owner {
    /// All, as the columns of the table.
    pub(crate) const ALL: [Owner; 9] = [
        Owner::Ours,
        Owner::Pingora,
        Owner::Http,
        Owner::Tokio,
        Owner::Allocator,
        Owner::H2,
        Owner::Tls,
        Owner::Libc,
        Owner::Others,
    ];

    /// Of code in this file, in this function, in this object.
    pub(crate) fn of(file: &str, function: &str, object: &str) -> Owner {
        if is_of_the_system(object) {
            return Owner::Libc;
        }
        if let Some(name) = package(file) {
            return Owner::of_crate(name);
        }
        if file.starts_with(concat!(env!("CARGO_MANIFEST_DIR"), "/src/")) {
            return Owner::Ours;
        }
        let mut owners = crates(function).map(Owner::of_crate);
        owners
            .find(|owner| *owner != Owner::Others)
            .unwrap_or(Owner::Others)
    }

    fn of_crate(name: &str) -> Owner {
        match name.replace('-', "_").as_str() {
            "culvert" => Owner::Ours,
            "http" | "httparse" => Owner::Http,
            "tokio" | "tokio_util" | "mio" => Owner::Tokio,
            "tikv_jemallocator" | "tikv_jemalloc_sys" => Owner::Allocator,
            "h2" => Owner::H2,
            "rustls" | "tokio_rustls" | "ring" => Owner::Tls,
            name if name.starts_with("pingora") => Owner::Pingora,
            _ => Owner::Others,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Owner::Ours => "ours",
            Owner::Pingora => "Pingora",
            Owner::Http => "http",
            Owner::Tokio => "tokio",
            Owner::Allocator => "allocator",
            Owner::H2 => "h2",
            Owner::Tls => "rustls, ring",
            Owner::Libc => "libc",
            Owner::Others => "others",
        })
    }
}

fn is_of_the_system(object: &str) -> bool {
    let name = object.rsplit('/').next().unwrap_or_default();
    ["libc.", "libm.", "libgcc_s.", "ld-linux"]
        .iter()
        .any(|begin| name.starts_with(begin))
}

/// The crate that a file of a registry, or of what a build script has unpacked, belongs to.
fn package(file: &str) -> Option<&str> {
    let unpacked = || file.split_once("/build/");
    let (_, rest) = file.split_once("/registry/src/").or_else(unpacked)?;
    let folder = rest.split('/').find(|part| {
        let version = part.rsplit_once('-').map(|(_, version)| version);
        version.is_some_and(|version| !version.is_empty() && !part.starts_with("index."))
    })?;
    folder.rsplit_once('-').map(|(name, _)| name)
}

/// The crates that a function's name names, in order: `<culvert::a::B as tokio::C>::d` names two.
fn crates(function: &str) -> impl Iterator<Item = &str> {
    let paths = function.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    paths.filter_map(|path| path.split_once("::").map(|(name, _)| name))
}
