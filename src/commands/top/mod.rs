//! `culvert top`: groups, targets, tunnels per second and why they end, in a terminal, each second anew.
//!
//! One task reads the figures and finds the process again when it is gone, one thread reads the keys; both tell the screen.

mod draw;
mod figures;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
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
    let mut terminal =
        ratatui::try_init().map_err(|error| format!("culvert top: the terminal: {error}"))?;
    let shown = runtime.block_on(show(client, &mut terminal));
    ratatui::restore();
    shown.map_err(|error| format!("culvert top: {error}"))
}

/// Prints a line for each event, for as long as somebody reads them.
fn print(figures: Value) -> ControlFlow<()> {
    match writeln!(io::stdout(), "{figures}") {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

async fn show(client: Client, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let (tell, mut news) = channel(16);
    let mut terminated = signal(SignalKind::terminate())?;
    let keys = tell.clone();
    // It ends with the process: nobody can wake it.
    thread::spawn(move || read_keys(&keys));
    let reading = async {
        tokio::select! {
            () = follow(&client, tell) => Ok(()),
            shown = draw_all(&mut news, terminal) => shown,
            _ = terminated.recv() => Ok(()),
        }
    };
    reading.await
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
            let figures = Figures::of(&event, Instant::now());
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
