//! The loads, and what is measured under each.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;

use crate::client::{Client, Step};
use crate::figure::{Figure, Goal, memory_of};
use crate::measure;
use crate::protocol::Message;
use crate::proxies::{Kind, Proxy};
use crate::slow;
use crate::stream::Address;
use crate::target;
use crate::tls::Tls;
use crate::waiting;
use crate::waiting_http2;

/// What plain requests are called, with the access log and without.
pub(crate) const LOGGED: &str = "plain request";
pub(crate) const UNLOGGED: &str = "plain request without access log";
const KIB: usize = 1 << 10;
/// What an idle tunnel in TLS may take, in KiB.
const WSS_IDLE: f64 = 16_000.0 / KIB as f64;
/// How many connections are opened, or used, at a time where nothing else is said.
const AT_A_TIME: usize = 64;
const WORK_SETTLES: Duration = Duration::from_millis(200);

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// 3,000 tunnels that say nothing any more.
    Idle,
    /// Tunnels that are opened and closed.
    Handshake,
    /// Short messages over few tunnels.
    Echo64,
    /// Messages over many tunnels.
    Echo1k,
    /// Long messages over few tunnels.
    Echo16k,
    /// Requests that are no handshakes.
    Plain,
    /// The same without the access log.
    Unlogged,
    /// Tunnels in TLS that say nothing any more.
    WssIdle,
    /// Tunnels in TLS that are opened, each with a full handshake, and closed.
    WssHandshake,
    /// Messages over tunnels in TLS.
    WssEcho1k,
    /// Long messages over few tunnels in TLS.
    WssEcho16k,
    /// Requests beside others that take for ever to arrive.
    Slow,
    /// Connections that have not asked for anything yet.
    Unasked,
    /// Answers that their clients do not take.
    Answer,
    /// The same over HTTP/2.
    Http2Answer,
    /// Bodies that their targets do not take.
    Body,
    /// The same over HTTP/2.
    Http2Body,
}

impl Load {
    /// Puts a fresh proxy under the load, a `scale`th of it.
    pub(crate) fn run(
        self,
        kind: Kind,
        targets: &target::Addresses,
        tls: &Tls,
        scale: usize,
    ) -> io::Result<Vec<Figure>> {
        let target = match self.is_measured_once() {
            true => targets.far,
            false => targets.near,
        };
        let proxy = Proxy::start(kind, target, tls, self != Load::Unlogged)?;
        let (plain, encrypted) = (&proxy.plain, &proxy.encrypted);
        let (figures, exchanges) = match self {
            Load::Idle => idle(&proxy, plain, 3_000 / scale),
            Load::Handshake => handshakes(&proxy, plain, 10_000 / scale),
            Load::Echo64 => echoes(&proxy, plain, 64, 64, 200_000 / scale),
            Load::Echo1k => echoes(&proxy, plain, KIB, 500, 200_000 / scale),
            Load::Echo16k => echoes(&proxy, plain, 16 * KIB, 64, 100_000 / scale),
            Load::Plain => plain_requests(&proxy, 100_000 / scale, LOGGED),
            Load::Unlogged => plain_requests(&proxy, 100_000 / scale, UNLOGGED),
            Load::WssIdle => idle(&proxy, encrypted, 3_000 / scale),
            Load::WssHandshake => handshakes(&proxy, encrypted, 10_000 / scale),
            Load::WssEcho1k => echoes(&proxy, encrypted, KIB, 200, 200_000 / scale),
            Load::WssEcho16k => echoes(&proxy, encrypted, 16 * KIB, 64, 100_000 / scale),
            Load::Slow => beside_slow_senders(&proxy, 10_000 / scale),
            Load::Unasked => waiting::unasked(&proxy, scale),
            Load::Answer => waiting::untaken_answers(&proxy, scale),
            Load::Body => waiting::untaken_bodies(&proxy, scale),
            Load::Http2Answer => waiting_http2::untaken_answers(&proxy, scale),
            Load::Http2Body => waiting_http2::untaken_bodies(&proxy, scale),
        }?;
        if self != Load::Unlogged {
            proxy.has_logged(exchanges)?;
        }
        Ok(figures)
    }

    /// What clients cost that wait comes out the same every time.
    pub(crate) fn is_measured_once(self) -> bool {
        matches!(
            self,
            Load::Unasked | Load::Answer | Load::Http2Answer | Load::Body | Load::Http2Body
        )
    }
}

fn idle(proxy: &Proxy, address: &Address, tunnels: usize) -> io::Result<(Vec<Figure>, usize)> {
    warm_up(address)?;
    let mut client = Client::new(address, tunnels)?;
    let before = memory_of(proxy)?;
    let mut figures = Vec::new();
    let (mut short, mut long) = (Message::new(KIB), Message::new(60 * KIB));
    for (state, step) in [
        ("fresh", Step::Upgrade),
        ("after a message of 1 KiB", Step::Echo(&mut short)),
        ("after one of 60 KiB", Step::Echo(&mut long)),
    ] {
        client.run(&mut [step], tunnels, AT_A_TIME)?;
        let each = (memory_of(proxy)? - before) / tunnels as f64;
        figures.push(Figure {
            name: format!("memory of an idle tunnel{}, {state}, KiB", in_tls(address)),
            value: each / KIB as f64,
            goal: address.tls.as_ref().map(|_| Goal::Most(WSS_IDLE)),
        });
    }
    Ok((figures, client.exchanges()))
}

fn in_tls(address: &Address) -> &'static str {
    address.tls.as_ref().map_or("", |_| " in TLS")
}

/// What a process does once is no part of what a tunnel costs.
fn warm_up(address: &Address) -> io::Result<()> {
    let mut client = Client::new(address, 8)?;
    let mut message = Message::new(KIB);
    let mut script = [Step::Upgrade, Step::Echo(&mut message), Step::Close];
    client.run(&mut script, 8, 8)?;
    Ok(())
}

fn handshakes(proxy: &Proxy, address: &Address, times: usize) -> io::Result<(Vec<Figure>, usize)> {
    let at_a_time = 32;
    let mut client = Client::new(address, at_a_time)?;
    let mut script = [Step::Upgrade, Step::Close];
    client.run(&mut script, at_a_time * 4, at_a_time)?;
    let name = format!("tunnel opened and closed{}", in_tls(address));
    let figures = run(proxy, &mut client, &mut script, times, at_a_time, &name)?;
    Ok((figures, client.exchanges()))
}

fn echoes(
    proxy: &Proxy,
    address: &Address,
    size: usize,
    tunnels: usize,
    times: usize,
) -> io::Result<(Vec<Figure>, usize)> {
    let mut client = Client::new(address, tunnels)?;
    client.run(&mut [Step::Upgrade], tunnels, AT_A_TIME)?;
    let mut message = Message::new(size);
    let mut script = [Step::Echo(&mut message)];
    client.run(&mut script, tunnels * 4, tunnels)?;
    let size_name = match size {
        0..KIB => format!("{size} B"),
        _ => format!("{} KiB", size / KIB),
    };
    let name = format!(
        "echo of {size_name} over {tunnels} tunnels{}",
        in_tls(address)
    );
    let figures = run(proxy, &mut client, &mut script, times, tunnels, &name)?;
    Ok((figures, client.exchanges()))
}

fn plain_requests(proxy: &Proxy, times: usize, name: &str) -> io::Result<(Vec<Figure>, usize)> {
    let mut client = Client::new(&proxy.plain, AT_A_TIME)?;
    let mut script = [Step::Get];
    client.run(&mut script, AT_A_TIME * 4, AT_A_TIME)?;
    let figures = run(proxy, &mut client, &mut script, times, AT_A_TIME, name)?;
    Ok((figures, client.exchanges()))
}

/// One request at a time on one connection: alone, then with the others there.
fn beside_slow_senders(proxy: &Proxy, times: usize) -> io::Result<(Vec<Figure>, usize)> {
    let mut client = Client::new(&proxy.plain, 1)?;
    let mut script = [Step::Get];
    client.run(&mut script, 100, 1)?;
    let mut figures = latencies(client.run(&mut script, times, 1)?, "alone");
    let senders = slow::start(proxy)?;
    sleep(WORK_SETTLES);
    let beside = format!("beside {} slow senders", slow::SENDERS);
    figures.extend(latencies(client.run(&mut script, times, 1)?, &beside));
    senders.stop()?;
    Ok((figures, client.exchanges()))
}

fn latencies(mut took: Vec<Duration>, name: &str) -> Vec<Figure> {
    let [p50, p99] = [0.50, 0.99].map(|share| measure::percentile(&mut took, share));
    [("p50", p50), ("p99", p99)]
        .map(|(what, duration)| Figure {
            name: format!("one plain request at a time, {name}, {what}, µs"),
            value: duration.as_secs_f64() * 1e6,
            goal: None,
        })
        .into()
}

/// Has the client do the script, and measures what the proxy takes for it.
fn run(
    proxy: &Proxy,
    client: &mut Client,
    script: &mut [Step<'_>],
    times: usize,
    at_a_time: usize,
    name: &str,
) -> io::Result<Vec<Figure>> {
    sleep(WORK_SETTLES);
    let processes = proxy.processes()?;
    let before = measure::cpu(&processes)?;
    let mut took = client.run(script, times, at_a_time)?;
    sleep(WORK_SETTLES);
    let cpu = measure::cpu(&processes)? - before;
    let goal = client.is_in_tls().then_some(Goal::BestPeer);
    let figures = [
        ("CPU", cpu / times as u32, goal),
        ("p50", measure::percentile(&mut took, 0.50), None),
        ("p99", measure::percentile(&mut took, 0.99), None),
    ];
    Ok(figures
        .map(|(what, duration, goal)| Figure {
            name: format!("{name}, {what}, µs"),
            value: duration.as_secs_f64() * 1e6,
            goal,
        })
        .into())
}
