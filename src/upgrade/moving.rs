//! The old process's side: its tunnels go to the process that serves, a batch at a time, and it
//! tells what it still has open.
//!
//! A batch is the other process's once `Go` is in the socket, and not before: whatever goes wrong
//! up to then, its tunnels go on here.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::failpoint;
use super::protocol::{FORMAT, Link, Message, Move};
use crate::os::reserve;
use crate::serving::Serving;
use crate::tunnel::{Frozen, Handle};

const EVERY: Duration = Duration::from_secs(1);
/// How soon to look again while tunnels still open here.
const SOON: Duration = Duration::from_millis(100);
/// How many tunnels go at a time: each is still for as long as its batch takes.
const BATCH: usize = 64;
/// After which time to ask a process again that does not know what is asked, or does not want it.
const NOT_NOW: Duration = Duration::from_secs(60);
/// After how many refusals in a row it does not.
const FEW: u32 = 3;

/// What brings the tunnels of an old process to the one that serves at a socket.
pub struct Mover {
    serving: Arc<Serving>,
    socket: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What ends the present link.
    cutter: Option<UnixStream>,
    is_stopped: bool,
    /// That the other process has no files left has been said.
    is_short: bool,
}

impl Mover {
    /// Begins, on a thread of its own, and goes on until the process ends.
    pub fn start(serving: &Arc<Serving>, socket: PathBuf) -> Arc<Self> {
        let mover = Arc::new(Mover {
            serving: Arc::clone(serving),
            socket,
            state: Mutex::default(),
        });
        let this = Arc::clone(&mover);
        let started = thread::Builder::new()
            .name("moving".into())
            .spawn(move || this.run());
        if let Err(error) = started {
            log::error!("no thread: {error}: tunnels stay in this process");
        }
        mover
    }

    /// Nothing moves any more: what is on its way stays, unless it is gone already.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.is_stopped = true;
        if let Some(link) = &state.cutter {
            // It may have ended.
            link.shutdown(Shutdown::Both).ok();
        }
    }

    fn run(&self) {
        let (mut refusals, mut not_before) = (0, Instant::now());
        loop {
            let moves = self.serving.config().server.upgrade.move_tunnels;
            let mut pause = EVERY;
            if moves && Instant::now() >= not_before {
                match self.move_all() {
                    Stop::Broken(error) => {
                        refusals = 0;
                        log::debug!("old process: {error}");
                    }
                    Stop::Refused => {
                        refusals += 1;
                        (pause, not_before) = after(refusals);
                    }
                }
            }
            if let Err(error) = self.report() {
                log::debug!("old process: its tunnels could not be reported: {error}");
            }
            thread::sleep(pause);
        }
    }

    /// Only tells what is open here.
    fn report(&self) -> io::Result<()> {
        let link = self.connect(EVERY)?;
        link.send(&Message::StillOpen(self.serving.metrics.open_tunnels()))
    }

    fn connect(&self, patience: Duration) -> io::Result<Link> {
        let stream = reserve::with(1, || UnixStream::connect(&self.socket))?;
        let link = Link::new(stream);
        link.patience(Some(patience))?;
        Ok(link)
    }

    /// Moves what can be moved, again and again, until the link ends; tells why.
    fn move_all(&self) -> Stop {
        let mut is_heard = false;
        let Err(error) = self.move_over_link(&mut is_heard);
        match error.kind() {
            io::ErrorKind::UnexpectedEof if !is_heard => Stop::Refused,
            _ => Stop::Broken(error),
        }
    }

    fn move_over_link(&self, is_heard: &mut bool) -> io::Result<Infallible> {
        let mut link = self.connect(self.serving.config().server.upgrade.timeout)?;
        self.note(&link)?;
        loop {
            link.send(&self.word())?;
            let room = match link.receive()? {
                Message::Room { descriptors, .. } => descriptors,
                other => return Err(io::Error::other(format!("unexpected {other:?}"))),
            };
            *is_heard = true;
            let has_moved = self.move_within(&mut link, room)?;
            thread::sleep(if has_moved { SOON } else { EVERY });
        }
    }

    fn note(&self, link: &Link) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_stopped {
            return Err(io::Error::other("the process ends"));
        }
        state.cutter = Some(link.cutter()?);
        Ok(())
    }

    fn word(&self) -> Message {
        let former = self.serving.former();
        Message::Move(Move {
            formats: vec![FORMAT],
            open: self.serving.metrics.open_tunnels(),
            former_names: former.names,
            delays: former.delays,
            staying: self.staying(),
        })
    }

    /// How many tunnels there are here, by why.
    fn staying(&self) -> BTreeMap<String, u64> {
        let stays = RefCell::new(BTreeMap::new());
        let look = |tunnel: &Handle| {
            *stays.borrow_mut().entry(tunnel.stays()).or_default() += 1;
            false
        };
        self.serving.drain.tunnels.for_each(look, |_| {});
        let stays = stays.into_inner().into_iter();
        stays
            .map(|(stay, count)| (stay.as_str().to_owned(), count))
            .collect()
    }

    /// Moves what can be moved into this room; whether anything was.
    fn move_within(&self, link: &mut Link, mut room: usize) -> io::Result<bool> {
        let mut has_moved = false;
        let mut tried = HashSet::new();
        loop {
            let goes = |tunnel: &Handle| tunnel.is_movable && !tunnel.is_ending();
            let mut open = self.serving.drain.tunnels.list_where(goes);
            open.retain(|tunnel| !tried.contains(&Arc::as_ptr(tunnel)));
            if open.is_empty() {
                return Ok(has_moved);
            }
            let mut rest = &open[..];
            while !rest.is_empty() {
                let count = rest.len().min(BATCH).min(room / 2);
                if count == 0 {
                    self.tell_shortage(rest.len());
                    return Ok(has_moved);
                }
                let (batch, later) = rest.split_at(count);
                rest = later;
                tried.extend(batch.iter().map(Arc::as_ptr));
                let frozen = self.freeze(batch);
                if !frozen.is_empty() {
                    room = self.give(link, frozen)?;
                    has_moved = true;
                }
            }
        }
    }

    /// Once: it is asked again every second.
    fn tell_shortage(&self, tunnels: usize) {
        if !std::mem::replace(&mut self.state.lock().is_short, true) {
            log::warn!("up to {tunnels} tunnels wait here: the new process has no files for them");
        }
    }

    /// Those of these tunnels that can be frozen.
    fn freeze(&self, batch: &[Arc<Handle>]) -> Vec<Frozen> {
        let tunnels = &self.serving.drain.tunnels;
        let asked: Vec<_> = batch.iter().map(|tunnel| tunnels.freeze(tunnel)).collect();
        let frozen = asked.into_iter().map(|frozen| frozen.blocking_recv());
        frozen.flatten().map(|frozen| *frozen).collect()
    }

    /// Gives a batch away; what the other process does not take goes on here. Returns how much room
    /// it has left.
    fn give(&self, link: &mut Link, frozen: Vec<Frozen>) -> io::Result<usize> {
        match offer(link, &frozen) {
            Ok((refused, room)) => {
                for (place, frozen) in frozen.into_iter().enumerate() {
                    match refused.contains(&place) {
                        true => self.take_back(frozen),
                        false => drop(frozen.leave()),
                    }
                }
                Ok(room)
            }
            Err(error) => {
                frozen.into_iter().for_each(|frozen| self.take_back(frozen));
                Err(error)
            }
        }
    }

    fn take_back(&self, frozen: Frozen) {
        let runtime = self.serving.listeners.runtime();
        self.serving.drain.tunnels.thaw(frozen, runtime);
    }
}

/// Why no more tunnels move over a link.
enum Stop {
    /// The other process does not know of it, or does not want it.
    Refused,
    /// The link has ended.
    Broken(io::Error),
}

/// How long to wait, and when to ask again, after so many refusals in a row. The first ones may be
/// this process's own: it has accepted at the socket until a moment ago.
fn after(refusals: u32) -> (Duration, Instant) {
    let now = Instant::now();
    match refusals {
        1 => (SOON, now),
        2..FEW => (EVERY, now),
        FEW => {
            log::info!("the new process takes no tunnels: they stay here, and it is asked again");
            (EVERY, now + NOT_NOW)
        }
        _ => (EVERY, now + NOT_NOW),
    }
}

/// Brings a batch to the other process, up to `Go`: which of it are refused, and how much room is
/// left. An error is before that.
fn offer(link: &mut Link, frozen: &[Frozen]) -> io::Result<(HashSet<usize>, usize)> {
    failpoint::pass("old_before_batch");
    link.send(&Message::Batch(frozen.len()))?;
    for one in frozen {
        link.send_line(one, &one.sockets())?;
        failpoint::pass("old_in_batch");
    }
    let (refused, room) = match link.receive()? {
        Message::Built {
            refused,
            descriptors,
        } => (refused, descriptors),
        other => return Err(io::Error::other(format!("unexpected {other:?}"))),
    };
    if failpoint::is_set("after_built") {
        while link.is_open() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    failpoint::pass("old_before_go");
    link.send(&Message::Go)?;
    failpoint::pass("old_after_go");
    Ok((refused.into_iter().collect(), room))
}
