//! `culvert top`: groups, targets, tunnels per second and why they end, in a terminal, each second
//! anew.
//!
//! One task reads the figures and finds the process again when it is gone, one thread reads the
//! keys; both tell the screen.

mod columns;
mod draw;
mod figures;
mod refused;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::crossterm::execute;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::client::Client;
use crate::cli::Reached;
use figures::Figures;
use screen::Screen;

const EVENTS: &str = "/api/v1/events";
/// Until a process that is gone is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Something to show.
enum News {
    Figures(Figures),
    /// Why there are none.
    Lost(String),
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
}

/// Shows the figures until a key or a signal ends it.
pub(super) fn run(reached: &Reached, conf: &Path) -> Result<(), String> {
    let client = Client::find(reached, conf)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("culvert: {error}"))?;
    if reached.json {
        return runtime.block_on(client.events(EVENTS, print));
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(
            "culvert top: needs a terminal; --json does not, nor does culvert status".into(),
        );
    }
    let shown = runtime.block_on(show(client));
    give_back();
    match io::stdout().is_terminal() {
        true => shown.map_err(|error| format!("culvert top: {error}")),
        // It has hung up: nobody can be told.
        false => Ok(()),
    }
}

/// Leaves the terminal as it was, even if it was made ready only in part.
fn give_back() {
    execute!(io::stdout(), Show).ok();
    ratatui::try_restore().ok();
}

/// Prints a line for each event, for as long as somebody reads them.
fn print(figures: Value) -> ControlFlow<()> {
    match writeln!(io::stdout(), "{figures}") {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

async fn show(client: Client) -> io::Result<()> {
    // Before the terminal is another: no signal may leave it so.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Its drop would panic where it cannot write any more.
    let mut terminal = ratatui::try_init()
        .map(ManuallyDrop::new)
        .map_err(|error| io::Error::other(format!("the terminal: {error}")))?;
    let (tell, mut news) = channel(16);
    let keys = tell.clone();
    // It ends with the process: nobody can wake it.
    thread::spawn(move || read_keys(&keys));
    tokio::select! {
        () = follow(&client, tell) => Ok(()),
        shown = draw_all(&mut news, &mut terminal) => shown,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

async fn draw_all(news: &mut Receiver<News>, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let mut screen = Screen::default();
    loop {
        terminal.draw(|frame| draw::draw(frame, &screen))?;
        match news.recv().await {
            Some(News::Figures(figures)) => screen.take(figures),
            Some(News::Lost(why)) => screen.lose(why),
            Some(News::Key(key)) if screen.press(key).is_break() => return Ok(()),
            Some(News::Key(_) | News::Resized) => {}
            None => return Ok(()),
        }
    }
}

/// Tells of all figures; never ends.
async fn follow(client: &Client, tell: Sender<News>) {
    loop {
        let show = |event: Value| {
            let figures = Figures::of(&event);
            // One that the screen has no time for is left out.
            tell.try_send(News::Figures(figures)).ok();
            ControlFlow::Continue(())
        };
        let over = client.events(EVENTS, show).await;
        let why = over
            .err()
            .unwrap_or_else(|| "the process has ended".to_owned());
        tell.send(News::Lost(why)).await.ok();
        sleep(AGAIN).await;
    }
}

fn read_keys(tell: &Sender<News>) {
    while let Ok(event) = event::read() {
        let news = match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => News::Key(key),
            Event::Resize(..) => News::Resized,
            _ => continue,
        };
        if tell.blocking_send(news).is_err() {
            return;
        }
    }
}
