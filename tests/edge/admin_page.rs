//! The status page and what it is made of: its policy, the stream of figures, and a tunnel's
//! details. What it looks like is tested in tests/browser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::admin::{get, send};
use crate::harness::client::{header, status};
use crate::harness::{Config, Edge, PATIENCE, Target, eventually};

const TUNNELS: &str = "/api/v1/tunnels";
const MOST_STREAMS: usize = 16;

/// A stream of figures.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(edge: &Edge) -> Result<Self, String> {
        Self::open_with(edge, "")
    }

    fn open_with(edge: &Edge, header: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(edge.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Events(BufReader::new(stream));
        let first = events.line().unwrap();
        match first.starts_with("HTTP/1.1 200") {
            true => Ok(events),
            false => Err(first),
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then_some(line)
    }

    /// The next figures; `None` at the end of the stream.
    fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            // The last chunk.
            if line == "0\r\n" {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The first figures of which this is true.
    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let last = (0..20).map(|_| self.next().unwrap()).find(is_it);
        last.expect("they come in time")
    }
}

fn closed(figures: &Value, reason: &str) -> u64 {
    let mut closed = figures["traffic"]["closed"].as_array().unwrap().iter();
    let found = closed.find(|entry| entry["reason"] == reason).unwrap();
    found["tunnels"].as_u64().unwrap()
}

#[tokio::test]
async fn the_page_may_run_nothing_but_its_own_script_and_be_shown_in_no_other() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = edge.admin_page("/");
    assert_eq!(status(&answer), 200);
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(page.contains("<title>Culvert</title>"));
    let policy = header(head, "Content-Security-Policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header(head, "X-Content-Type-Options"), Some("nosniff"));
}

// The target goes on while the test waits for figures.
#[tokio::test(flavor = "multi_thread")]
async fn figures_come_each_second_with_what_was_counted() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut events = Events::open(&edge).unwrap();
    let before = events.next().unwrap();
    assert_eq!(before["status"]["pid"], edge.id());
    assert_eq!(before["status"]["readOnly"], false);
    assert_eq!(before["traffic"]["opened"], 0);

    let (mut tunnel, _) = edge.tunnel().await;
    tunnel.send([0x89, 0x80, 1, 2, 3, 4]).await;
    let open = events.until(|figures| figures["traffic"]["bytesOut"] != 0);
    assert_eq!(open["traffic"]["opened"], 1);
    assert_eq!(open["status"]["tunnels"], 1);
    let ages = open["traffic"]["ages"].as_array().unwrap();
    assert_eq!(ages.len(), 7);
    assert_eq!(
        (&ages[0]["belowSeconds"], &ages[0]["tunnels"]),
        (&10.into(), &1.into())
    );
    assert_eq!(closed(&open, "killed"), 0);

    assert_eq!(
        send(&edge, "DELETE", &format!("{TUNNELS}?client=127.0.0.1")).0,
        202
    );
    let after = events.until(|figures| closed(figures, "killed") == 1);
    // What it carried is still counted.
    let bytes = |figures: &Value| figures["traffic"]["bytesOut"].as_u64().unwrap();
    assert!(bytes(&after) >= bytes(&open), "{after}");
}

#[tokio::test]
async fn all_who_look_get_the_same_figures_and_one_more_than_sixteen_is_refused() {
    let target = Target::named("a").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut streams: Vec<Events> = (0..MOST_STREAMS)
        .map(|_| Events::open(&edge).unwrap())
        .collect();
    let refused = Events::open(&edge).err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    // One event is one text: its uptime has nanoseconds.
    let uptimes = |events: &mut Events| -> Vec<String> {
        let next = (0..3).map(|_| events.next().unwrap());
        next.map(|figures| figures["status"]["uptimeSeconds"].to_string())
            .collect()
    };
    let first = uptimes(&mut streams[0]);
    let second = uptimes(&mut streams[1]);
    assert!(
        first[1..].iter().any(|time| second.contains(time)),
        "{first:?} {second:?}"
    );
    drop(streams);
    eventually("there is room again", || Events::open(&edge).ok()).await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let target = Target::named("a").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef").unwrap();
    let rules = Config::forwarding_to(&[target.address]);
    let admin = format!(
        "admin: {{listen: '127.0.0.1:ADMIN_PORT', tokenFile: {}}}",
        file.display()
    );
    let edge = Edge::start(&rules.top(&admin)).await;
    assert!(Events::open(&edge).err().unwrap().contains("401"));
    let token = "Authorization: Bearer 0123456789abcdef\r\n";
    let mut events = Events::open_with(&edge, token).unwrap();
    assert!(events.next().is_some());
    std::fs::write(&file, "another-token-than-before").unwrap();
    edge.signal("HUP");
    while events.next().is_some() {}
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_end_of_the_process() {
    let target = Target::named("a").await;
    let mut edge = Edge::forwarding_to(&[target.address]).await;
    let mut events = Events::open(&edge).unwrap();
    assert!(events.next().is_some());
    edge.signal("TERM");
    assert!(edge.exited().await.success());
}

#[tokio::test]
async fn a_tunnel_tells_its_bytes_and_its_frames_while_it_is_open() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let (mut tunnel, _) = edge.tunnel().await;
    let list = eventually("it is listed", || {
        let list = get(&edge, &format!("{TUNNELS}?count=true&client=127.0.0.0/8"));
        (list["matching"] == 1 && list["total"] == 1).then_some(list)
    })
    .await;
    let none = get(&edge, &format!("{TUNNELS}?count=true&client=10.0.0.0/8"));
    assert_eq!((&none["matching"], &none["total"]), (&0.into(), &1.into()));
    assert!(get(&edge, TUNNELS).get("matching").is_none());

    let path = format!("{TUNNELS}/{}", list["tunnels"][0]["id"].as_str().unwrap());
    let frames = |tunnel: &Value| [&tunnel["framesIn"], &tunnel["framesOut"]].map(Value::as_u64);
    assert_eq!(frames(&get(&edge, &path)), [Some(0), Some(0)]);
    // A masked Ping of nothing, which the target sends back as it is: a frame of the client's kind
    // is none of its own.
    tunnel.send([0x89, 0x80, 1, 2, 3, 4]).await;
    eventually("the frame is counted", || {
        let told = get(&edge, &path);
        (told["framesIn"] == 1 && told["bytesIn"] == 6).then_some(())
    })
    .await;
    drop(tunnel);
    eventually("it is gone", || {
        (send(&edge, "GET", &path).0 == 404).then_some(())
    })
    .await;
}
