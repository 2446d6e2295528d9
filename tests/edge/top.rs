//! `culvert top` in a terminal: a real pseudo-terminal, read by a terminal emulator.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use crate::harness::{Config, Edge, Process, Target, eventually, report};

const ROWS: u16 = 20;
const COLUMNS: u16 = 100;

fn emulator() -> vt100::Parser {
    vt100::Parser::new(ROWS.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0)
}

fn terminal() -> OwnedFd {
    // One that top inherits would never hang up.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize {
        ws_row: ROWS,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    terminal
}

fn start(edge: &Edge, terminal: &OwnedFd) -> Child {
    let name = ptsname(terminal, Vec::new()).unwrap();
    let side = || -> OwnedFd { open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap() };
    Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["top", "--admin", &format!("http://{}", edge.admin)])
        .stdin(Stdio::from(side()))
        .stdout(Stdio::from(side()))
        .stderr(Stdio::from(side()))
        .spawn()
        .unwrap()
}

/// `culvert top` in a terminal. Dropping it kills it.
struct Top {
    process: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Top {
    fn of(edge: &Edge) -> Top {
        let terminal = terminal();
        let process = start(edge, &terminal);
        let screen = Arc::new(Mutex::new(emulator()));
        let (mut output, shown) = (
            File::from(terminal.try_clone().unwrap()),
            Arc::clone(&screen),
        );
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Top {
            process,
            keys: File::from(terminal),
            screen,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    async fn shows(&self, words: &[&str]) {
        let what = format!("{words:?} on the screen");
        let is_there = || {
            let text = self.text();
            words.iter().all(|word| text.contains(word)).then_some(())
        };
        eventually(&what, is_there).await;
    }

    async fn hides(&self, words: &str) {
        let what = format!("no {words:?} on the screen");
        eventually(&what, || (!self.text().contains(words)).then_some(())).await;
    }

    /// Whether the terminal is as it is between commands.
    fn is_left(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        let screen = screen.screen();
        let modes = tcgetattr(&self.keys).unwrap().local_modes;
        let is_cooked = modes.contains(LocalModes::ICANON | LocalModes::ECHO);
        is_cooked && !screen.alternate_screen() && !screen.hide_cursor()
    }

    async fn ends(&mut self) -> ExitStatus {
        eventually("top ends", || self.process.try_wait().unwrap()).await
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::print("on the screen", self.text().lines(), ROWS.into());
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn the_screen_follows_tunnels_and_heeds_keys_and_leaves_the_terminal_as_it_was() {
    let (first, second) = (Target::echo().await, Target::echo().await);
    let edge = Edge::forwarding_to(&[first.address, second.address]).await;
    let mut tunnels = edge.tunnels(3).await;
    let mut top = Top::of(&edge);

    let address = first.address.to_string();
    top.shows(&["serving", "3 tunnels", &address, "healthy", "q quit"])
        .await;
    tunnels.pop().unwrap().leave(1000).await;
    top.shows(&["2 tunnels", "client_closed"]).await;
    top.press("g");
    top.shows(&["2 targets", "2 of 2 in use"]).await;
    top.press("/none\r");
    top.shows(&["filter: none"]).await;
    top.hides("2 targets").await;
    assert!(!top.is_left());
    top.press("q");

    assert!(top.ends().await.success());
    eventually("the terminal is left", || top.is_left().then_some(())).await;
}

#[tokio::test]
async fn a_signal_ends_it_and_leaves_the_terminal_as_it_was() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for signal in ["TERM", "INT", "HUP"] {
        let mut top = Top::of(&edge);
        top.shows(&["serving"]).await;
        Process::signal_to(top.process.id(), signal);
        assert!(top.ends().await.success(), "{signal}");
        eventually("the terminal is left", || top.is_left().then_some(())).await;
    }
}

#[tokio::test]
async fn a_terminal_that_hangs_up_ends_it_without_a_fault() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for signal in [Some("HUP"), None] {
        let terminal = terminal();
        let mut process = start(&edge, &terminal);
        let (mut output, mut screen) = (File::from(terminal), emulator());
        while !screen.screen().contents().contains("serving") {
            let mut bytes = [0; 4096];
            let count = output.read(&mut bytes).unwrap();
            screen.process(&bytes[..count]);
        }
        drop(output);
        if let Some(signal) = signal {
            Process::signal_to(process.id(), signal);
        }
        let ended = eventually("top ends", || process.try_wait().unwrap()).await;
        assert!(ended.success(), "{signal:?}: {ended}");
    }
}

#[tokio::test]
async fn a_process_that_goes_is_missed_and_said() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut top = Top::of(&edge);
    top.shows(&["0 tunnels"]).await;
    edge.terminate().await;
    top.shows(&["no running process"]).await;
    top.press("\x03");
    assert!(top.ends().await.success());
}

#[tokio::test]
async fn tunnels_of_an_old_process_are_said_by_the_new_one() {
    let target = Target::echo().await;
    let configuration = Config::forwarding_to(&[target.address])
        .upgradable()
        .server("upgrade: {moveTunnels: false}");
    let edge = Edge::start(&configuration).await;
    let _tunnels = edge.tunnels(2).await;
    let top = Top::of(&edge);
    top.shows(&["2 tunnels"]).await;
    let _successor = edge.hand_over().await;
    top.shows(&["0 tunnels + 2 in old processes"]).await;
}

#[tokio::test]
async fn a_process_that_hangs_is_said_and_shown_again_once_it_goes_on() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let top = Top::of(&edge);
    top.shows(&["0.0/s opened"]).await;
    edge.signal("STOP");
    top.shows(&["no figures for 5 s", "–/s opened"]).await;
    edge.signal("CONT");
    top.shows(&["0.0/s opened"]).await;
    top.hides("no figures").await;
}

#[tokio::test]
async fn without_a_terminal_it_says_so_and_json_needs_none() {
    let target = Target::echo().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_culvert"));
        command.args(["-c", edge.file().to_str().unwrap(), "top"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let refused = command().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("needs a terminal"), "{said}");

    let mut figures = command().arg("--json").spawn().unwrap();
    let mut line = String::new();
    let output = figures.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    figures.kill().unwrap();
    figures.wait().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"]["tunnels"], 0);
    assert_eq!(line["traffic"]["opened"], 0);
}
