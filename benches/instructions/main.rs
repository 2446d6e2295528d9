//! What Culvert executes for a handshake, a message and a request: instructions and allocations,
//! counted by callgrind.
//!
//! Counts do not move with the machine or its load, as times do. `make bench-instructions` writes
//! them into benches/INSTRUCTIONS.md, which also says how they are counted; `make
//! check-instructions` compares with that page.

#[path = "../peers/measure.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod measure;
#[path = "../../tests/edge/harness/ports.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests need more of it than the bench"
)]
mod ports;
#[path = "../peers/protocol.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod protocol;
#[path = "../peers/proxies.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod proxies;
#[path = "../peers/stream.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod stream;
#[path = "../peers/tls.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod tls;

mod callgrind;
mod committed;
mod ends;
mod http2;
mod operation;
mod owner;
mod profile;
mod report;
mod rest;
mod toolchain;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use callgrind::Counted;
use clap::Parser;
use operation::Operation;
use report::Table;
use tls::Tls;

/// Counts the instructions and the allocations of handshakes, messages and requests.
#[derive(Parser)]
struct Options {
    /// How often everything is counted, each time in fresh processes
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Compare with benches/INSTRUCTIONS.md instead of writing it
    #[arg(long)]
    check: bool,
    /// Only these operations; then nothing is written
    #[arg(long)]
    only: Vec<Operation>,
    /// A folder for callgrind's files of the first round, which `callgrind_annotate` and
    /// KCachegrind read
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The program, if it is not the one that cargo has built with this bench
    #[arg(long, default_value = env!("CARGO_BIN_EXE_culvert"))]
    program: PathBuf,
    /// What `cargo bench` says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    let toolchain = toolchain::describe()?;
    let tls = Tls::new()?;
    let mut table = Table::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for is_logged in [true, false] {
            let wanted =
                |operation: &Operation| options.only.is_empty() || options.only.contains(operation);
            let operations = Operation::ALL.into_iter().filter(wanted);
            let operations: Vec<_> = operations
                .filter(|one| one.is_logged() == is_logged)
                .collect();
            if operations.is_empty() {
                continue;
            }
            let mut counted = Counted::start(&options.program, &tls, is_logged)?;
            for operation in operations {
                let folder = options.keep.as_deref().filter(|_| round == 0);
                let profile = counted.count(operation, folder)?;
                table.add(operation, &profile);
            }
        }
    }
    print!("{table}");
    if options.check {
        return committed::check(&table, &toolchain);
    }
    if options.only.is_empty() {
        report::write(&table, &toolchain, options.rounds)?;
    }
    Ok(ExitCode::SUCCESS)
}
