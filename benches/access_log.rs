//! What the access log's writer does by itself: lines of a tunnel's record, made and handed over as
//! fast as one thread can, into a file. It should write 50,000 a second. And what the journal costs
//! a tunnel, when it opens and when it is over.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use culvert::telemetry::access_log::{AccessLog, Output};
use culvert::telemetry::{CloseReason, Format, Frames, Record, RequestLine, Style};
use prometheus::IntCounter;
use rustix::process::getpid;

const LINES: u32 = 500_000;
const ROUNDS: usize = 5;

fn main() -> io::Result<()> {
    for format in [Format::Json, Format::Text] {
        let mut rates = Vec::new();
        let mut last = (0, Duration::ZERO);
        for _ in 0..ROUNDS {
            let (written, took, cpu, bytes) = round(format)?;
            rates.push(f64::from(written) / took.as_secs_f64());
            last = (bytes / u64::from(written), cpu / written);
        }
        rates.sort_by(f64::total_cmp);
        let (bytes, cpu) = last;
        println!(
            "{format:?}: {:.0} lines of {bytes} bytes a second (median of {ROUNDS}), CPU {cpu:.1?} a line, its making included",
            rates[ROUNDS / 2]
        );
    }
    let mut costs = (0..ROUNDS)
        .map(|_| journal())
        .collect::<io::Result<Vec<_>>>()?;
    costs.sort();
    println!(
        "journal: CPU {:.2?} a tunnel (median of {ROUNDS})",
        costs[ROUNDS / 2]
    );
    Ok(())
}

/// The CPU that the journal takes for a tunnel, among 10,000 that are open.
fn journal() -> io::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let dropped = IntCounter::new("dropped", "Lines that were lost.").map_err(io::Error::other)?;
    let open = |path: &std::path::Path| Output::open(Some(path));
    let mut log = AccessLog::start(Output::Stdout, open, Style::default(), dropped)?;
    log.keep_journal(folder.path())?;
    let record = record();
    let mut tunnels: VecDeque<_> = (0..10_000).map(|_| log.enter(&record)).collect();
    let before = cpu()?;
    for _ in 0..LINES {
        tunnels.push_back(log.enter(&record));
        if tunnels.pop_front().flatten().is_none() {
            return Err(io::Error::other("a tunnel has no place"));
        }
    }
    Ok((cpu()? - before) / LINES)
}

/// How many lines were written, in what time, with how much CPU, and how many bytes they are.
fn round(format: Format) -> io::Result<(u32, Duration, Duration, u64)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("access.log");
    let dropped = IntCounter::new("dropped", "Lines that were lost.").map_err(io::Error::other)?;
    let output = Output::open(Some(&path))?;
    let log = AccessLog::start(
        output,
        |path| Output::open(Some(path)),
        Style::default(),
        dropped.clone(),
    )?;
    let style = Style {
        format,
        ..Style::default()
    };
    let record = record();
    let (began, cpu) = (Instant::now(), cpu()?);
    for _ in 0..LINES {
        let before = dropped.get();
        log.write(record.to_line(CloseReason::ClientClosed, &style));
        if dropped.get() > before {
            // The queue is full: the writer is the slower of the two.
            log.flush(Duration::from_secs(10));
        }
    }
    log.flush(Duration::from_secs(10));
    let (took, cpu) = (began.elapsed(), self::cpu()? - cpu);
    let written = std::fs::read(&path)?;
    let lines = memchr::memchr_iter(b'\n', &written).count() as u32;
    if u64::from(lines) + dropped.get() != u64::from(LINES) {
        return Err(io::Error::other(format!("{lines} lines are written")));
    }
    Ok((lines, took, cpu, written.len() as u64))
}

fn record() -> Record {
    let client: SocketAddr = ([192, 0, 2, 7], 4711).into();
    let mut record = Record::begin("edge".into(), client.into());
    record.tracking_id = "6f9619ff8b86d011b42d00cf4fc964ff".into();
    record.http_rule = Some("websocket".into());
    record.request = Some(RequestLine {
        version: "HTTP/1.1",
        method: "GET".into(),
        host: "chat.example.com".into(),
        uri: "/chat?room=17&token=<redacted>".into(),
        user_agent: Some(
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into(),
        ),
        referer: None,
    });
    record.status = Some(101);
    record.upgraded = true;
    record.target_group = Some("chat".into());
    record.target = Some(SocketAddr::from(([192, 0, 2, 20], 8080)).into());
    record.target_connect = Some(Duration::from_micros(310));
    record.target_latency = Some(Duration::from_micros(920));
    record.close_code = Some(1001);
    record.frames = Some(Frames {
        from_client: 1200,
        to_client: 5400,
        since_activity: Duration::from_millis(35),
    });
    record
}

/// The CPU time of this process, in user and in system mode.
fn cpu() -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", getpid()))?;
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let a_second = rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(ticks as f64 / a_second))
}
