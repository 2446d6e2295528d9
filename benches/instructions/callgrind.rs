//! Culvert under callgrind: what its traffic takes between two moments.
//!
//! Only the threads that carry traffic are counted, and of them only what they would not have done
//! anyway: they also look at clocks, whether there is traffic or not.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::ends::{Ends, Script};
use crate::operation::Operation;
use crate::profile::Profile;
use crate::proxies::{Kind, Proxy};
use crate::rest::Rest;
use crate::tls::Tls;

/// callgrind counts `rep movsb` once for each byte that it moves; without it, moves are counted as
/// the loops that they are elsewhere.
const TUNABLES: &str = "GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=100000000";
const OUTPUT: &str = "callgrind.out";
/// The threads that do what traffic asks for.
const THREADS: [&str; 2] = ["connections", "access-log"];
/// Health checks go by the clock.
const CHECKED: &str = "port: TARGET_PORT}";
const UNCHECKED: &str = "port: TARGET_PORT, healthCheckEnabled: false}";
/// How long nothing is done, to see what is done anyway.
const PAUSE: Duration = Duration::from_secs(1);
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
        let command = [
            "env",
            TUNABLES,
            "valgrind",
            "--tool=callgrind",
            "--separate-threads=yes",
            // One line for each cost, with all names: more to read, less to keep in mind.
            "--compress-strings=no",
            "--compress-pos=no",
            &out,
            &program.to_string_lossy(),
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

    /// What an operation takes, done [`Operation::times`]: what some more take than a few, so that
    /// what is done once is in no count. What those that are more have taken goes to the folder, as
    /// callgrind writes it, if there is one.
    pub(crate) fn count(
        &mut self,
        operation: Operation,
        folder: Option<&Path>,
    ) -> io::Result<Profile> {
        let mut once = operation.script(&self.ends)?;
        for _ in 0..WARM_UP {
            once()?;
        }
        let mut counter = Counter::new(&self.proxy, &mut self.dumps)?;
        let few = counter.usual(&mut once, WARM_UP)?;
        let many = counter.usual(&mut once, WARM_UP + operation.times())?;
        if let Some(folder) = folder {
            counter.keep(folder, operation)?;
        }
        Ok(many.without(&few, 1.0))
    }
}

/// Counts what is done over and over.
struct Counter<'a> {
    proxy: &'a Proxy,
    dumps: &'a mut usize,
    /// Of the threads that carry traffic, as callgrind numbers them.
    threads: Vec<String>,
    /// Until when there are counts.
    until: Instant,
    /// What is done anyway in a second.
    anyway: Profile,
}

impl<'a> Counter<'a> {
    fn new(proxy: &'a Proxy, dumps: &'a mut usize) -> io::Result<Self> {
        let mut counter = Counter {
            proxy,
            dumps,
            threads: threads(proxy)?,
            until: Instant::now(),
            anyway: Profile::default(),
        };
        counter.take()?;
        sleep(PAUSE);
        let (profile, seconds) = counter.take()?;
        counter.anyway = Profile::default().with(&profile, 1.0 / seconds);
        Ok(counter)
    }

    /// What so many take: of some turns the one in the middle.
    fn usual(&mut self, once: &mut Script<'_>, times: usize) -> io::Result<Profile> {
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            for _ in 0..times {
                once()?;
            }
            let (profile, seconds) = self.take()?;
            turns.push(profile.without(&self.anyway, seconds));
        }
        turns.sort_by(|one, other| one.total().total_cmp(&other.total()));
        Ok(turns.swap_remove(TURNS / 2))
    }

    /// What was counted since the last time, and how many seconds that is ago.
    fn take(&mut self) -> io::Result<(Profile, f64)> {
        Rest::of(self.proxy.process.id()).wait()?;
        self.forget()?;
        let said = tell(self.proxy, "dump")?;
        let seconds = self.until.elapsed().as_secs_f64();
        self.until = Instant::now();
        *self.dumps += 1;
        let mut profile = Profile::default();
        for path in self.paths() {
            let text = fs::read_to_string(self.proxy.folder.path().join(&path));
            let text = text.map_err(|error| {
                io::Error::other(format!("callgrind wrote no {path}: {error}\n{said}"))
            })?;
            profile = profile.with(&Profile::read(&text)?, 1.0);
        }
        Ok((profile, seconds))
    }

    /// The files of the last counts.
    fn paths(&self) -> impl Iterator<Item = String> {
        let dump = *self.dumps;
        let threads = self.threads.iter();
        threads.map(move |thread| format!("{OUTPUT}.{dump}-{thread:0>2}"))
    }

    /// Removes all files of counts: there may be many.
    fn forget(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.proxy.folder.path())? {
            let entry = entry?;
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("callgrind.out.")
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn keep(&self, folder: &Path, operation: Operation) -> io::Result<()> {
        for (path, thread) in self.paths().zip(THREADS) {
            let to = folder.join(format!("{OUTPUT}.{operation:?}-{thread}"));
            fs::copy(self.proxy.folder.path().join(path), to)?;
        }
        Ok(())
    }
}

/// The numbers of [`THREADS`], in that order.
fn threads(proxy: &Proxy) -> io::Result<Vec<String>> {
    let said = tell(proxy, "v.info scheduler")?;
    let mut numbers = Vec::new();
    for name in THREADS {
        let number = said.lines().find_map(|line| {
            let (number, rest) = line.strip_prefix("Thread ")?.split_once(':')?;
            let thread = rest.split_once("(lwpid ")?.1.trim_end_matches(')');
            let path = format!("/proc/{}/task/{thread}/comm", proxy.process.id());
            let is_it = fs::read_to_string(path).ok()?.trim() == name;
            is_it.then(|| number.to_owned())
        });
        let number = number.ok_or_else(|| {
            io::Error::other(format!("no thread of Culvert's is called {name:?}"))
        })?;
        numbers.push(number);
    }
    Ok(numbers)
}

/// Has valgrind do something; what it says.
fn tell(proxy: &Proxy, what: &str) -> io::Result<String> {
    let process = format!("--pid={}", proxy.process.id());
    // It is not to wait until the process wakes up by itself.
    let mut vgdb = Command::new("vgdb");
    vgdb.args(["--max-invoke-ms=1", &process]);
    let output = vgdb.args(what.split(' ')).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}
