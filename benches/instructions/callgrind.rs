//! Culvert under callgrind, and the counts between two moments.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::ends::Ends;
use crate::operation::{Operation, Script};
use crate::profile::Profile;
use crate::proxies::{Kind, Proxy};
use crate::rest::Rest;
use crate::tls::Tls;

/// callgrind counts `rep movsb` once for each byte that it moves; without it, moves are counted as the loops that they are elsewhere.
const TUNABLES: &str = "GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=100000000";
const OUTPUT: &str = "callgrind.out";
/// Health checks go by the clock.
const CHECKED: &str = "port: TARGET_PORT}";
const UNCHECKED: &str = "port: TARGET_PORT, healthCheckEnabled: false}";
/// How often an operation is done before it is counted, and at least while it is.
const WARM_UP: usize = 10;
/// How often it is counted.
const TURNS: usize = 5;

/// A Culvert whose instructions are counted.
pub(crate) struct Counted {
    proxy: Proxy,
    ends: Ends,
    dumps: usize,
}

impl Counted {
    /// Starts a fresh one.
    pub(crate) fn start(program: &Path, tls: &Tls, is_logged: bool) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let target = listener.local_addr()?;
        let out = format!("--callgrind-out-file={OUTPUT}");
        let program = program.to_string_lossy();
        let command = [
            "env",
            TUNABLES,
            "valgrind",
            "--tool=callgrind",
            // One line for each cost, with all names: more to read, less to keep in mind.
            "--compress-strings=no",
            "--compress-pos=no",
            &out,
            &program,
        ];
        let configuration = Kind::Culvert.configuration(is_logged);
        let configuration = configuration.replace(CHECKED, UNCHECKED);
        let mut proxy = Proxy::spawn(Kind::Culvert, &command, &configuration, target, tls)?;
        proxy.become_ready(|proxy| TcpStream::connect(proxy.plain.at).map(drop))?;
        let ends = Ends::new(&proxy, listener);
        Ok(Counted {
            proxy,
            ends,
            dumps: 0,
        })
    }

    /// What an operation takes, done [`Operation::times`]: what some more take than a few, so that what is done once is in no
    /// count. With it, in callgrind's words, what those that are more have taken.
    pub(crate) fn count(&mut self, operation: Operation) -> io::Result<(Profile, String)> {
        let mut once = operation.script(&self.ends)?;
        let mut counter = Counter {
            proxy: &self.proxy,
            dumps: &mut self.dumps,
            once: &mut once,
        };
        counter.least_of(1, WARM_UP)?;
        let (few, _) = counter.least_of(TURNS, WARM_UP)?;
        let (many, words) = counter.least_of(TURNS, WARM_UP + operation.times())?;
        Ok((many.without(&few), words))
    }
}

/// Counts what is done over and over.
struct Counter<'a, 'b> {
    proxy: &'a Proxy,
    dumps: &'a mut usize,
    once: &'a mut Script<'b>,
}

impl Counter<'_, '_> {
    /// What so many take: the least of some turns, since what threads do by the clock meanwhile is counted too.
    fn least_of(&mut self, turns: usize, times: usize) -> io::Result<(Profile, String)> {
        let rest = Rest::of(self.proxy.process.id());
        let mut least: Option<(Profile, String)> = None;
        for _ in 0..turns {
            for _ in 0..times {
                (self.once)()?;
            }
            rest.wait()?;
            let words = dump(self.proxy, self.dumps)?;
            let profile = Profile::read(&words)?;
            if least
                .as_ref()
                .is_none_or(|(least, _)| profile.total() < least.total())
            {
                least = Some((profile, words));
            }
        }
        least.ok_or_else(|| io::Error::other("nothing was counted"))
    }
}

/// What was counted since the last time.
fn dump(proxy: &Proxy, dumps: &mut usize) -> io::Result<String> {
    let process = format!("--pid={}", proxy.process.id());
    let said = Command::new("vgdb").args([&process, "dump"]).output()?;
    *dumps += 1;
    let path = proxy.folder.path().join(format!("{OUTPUT}.{dumps}"));
    let counts = fs::read_to_string(&path).map_err(|error| {
        let said = String::from_utf8_lossy(&said.stderr);
        io::Error::other(format!(
            "callgrind wrote no {OUTPUT}.{dumps}: {error}\n{said}"
        ))
    })?;
    fs::remove_file(path)?;
    Ok(counts)
}
