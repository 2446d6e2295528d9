//! The same loads against peers: what Culvert, HAProxy, nginx and Envoy need for a tunnel, a
//! message, a handshake and a request.
//!
//! `make bench` runs it. Every round puts a fresh process of each proxy under each load; the median
//! of the rounds goes into benches/RESULTS.md, which also says how it is measured.

mod client;
mod figure;
mod load;
mod measure;
#[path = "../../tests/edge/harness/ports.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests need more of it than the bench"
)]
mod ports;
mod protocol;
mod proxies;
mod report;
mod slow;
mod stream;
mod target;
mod tls;
mod waiting;
mod waiting_http2;

use std::io;
use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};
use load::Load;
use proxies::Kind;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tls::Tls;

/// The core of the client and the target.
const CORE: usize = 1;
/// How often a load is tried that fails.
const TRIES: usize = 3;

/// Measures Culvert, HAProxy, nginx and Envoy under the same loads.
#[derive(Parser)]
struct Options {
    /// A tenth of the work, once. Nothing is written to RESULTS.md, nor with --only and --proxy
    #[arg(long)]
    quick: bool,
    /// Only these loads
    #[arg(long)]
    only: Vec<Load>,
    /// Only these proxies
    #[arg(long)]
    proxy: Vec<Kind>,
    /// How often each proxy is put under each load
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What `cargo bench` says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    for kind in Kind::ALL {
        kind.version()?;
    }
    prepare()?;
    let (targets, tls) = (target::Addresses::start()?, Tls::new()?);
    let mut table = report::Table::default();
    let (rounds, scale) = if options.quick {
        (1, 10)
    } else {
        (options.rounds, 1)
    };
    for round in 0..rounds {
        for load in chosen(&options.only, Load::value_variants()) {
            if round > 0 && load.is_measured_once() {
                continue;
            }
            let mut kinds = chosen(&options.proxy, &Kind::ALL);
            let turn = round % kinds.len();
            kinds.rotate_left(turn);
            for kind in kinds {
                let what = format!("round {} of {rounds}: {load:?}: {}", round + 1, kind.name());
                eprintln!("{what}");
                let measured = measured(|| load.run(kind, &targets, &tls, scale));
                match measured {
                    Ok(figures) => table.add(kind, figures),
                    // Without a figure, then: its cell has a dash.
                    Err(error) if kind != Kind::Culvert => eprintln!("{what}: {error}"),
                    Err(error) => {
                        // What was measured before is not lost.
                        print!("{table}");
                        return Err(io::Error::other(format!("{what}: {error}")));
                    }
                }
            }
        }
    }
    print!("{table}");
    if !options.quick && options.only.is_empty() && options.proxy.is_empty() {
        report::write(&table, rounds)?;
    }
    Ok(())
}

/// What was measured, in as many tries as it takes: a run is long, and must not end because one
/// proxy was slow once.
fn measured<T>(measure: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match measure() {
            Ok(measured) => return Ok(measured),
            Err(error) => eprintln!("{error}: once more"),
        }
    }
    measure()
}

/// One core for this process, and enough open files, for the proxies too.
fn prepare() -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(CORE);
    sched_setaffinity(None, &cores)
        .map_err(|error| io::Error::other(format!("two cores are needed: {error}")))?;
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    Ok(())
}

/// Those that were named, or all.
fn chosen<T: Copy>(named: &[T], all: &[T]) -> Vec<T> {
    if named.is_empty() { all } else { named }.to_vec()
}
