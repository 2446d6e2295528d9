//! The API has few places for connections: whoever does nothing with theirs cannot keep others out,
//! and those who come together all get their answers.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::api::{Api, BASE, GROUPS, group};

const PLACES: usize = 64;
/// More than there are places.
const TOGETHER: usize = 2 * PLACES;
/// A connection that does nothing is closed by then anyway.
const IDLE: Duration = Duration::from_secs(10);
/// A body of which the rest does not come.
const PART: &str = "POST /cloudapi/v6/targetgroups HTTP/1.1\r\nHost: localhost\r\n\
    Content-Length: 9\r\n\r\n{";

#[tokio::test]
async fn a_connection_that_asks_nothing_gives_way_to_a_new_one() {
    let api = Api::start("").await;
    for sent in ["", "GET /cloudapi/v6 HTTP/1.1\r\nHost:", PART] {
        let began = Instant::now();
        let connect = |_| {
            let mut stream = TcpStream::connect(api.address).unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            stream
        };
        let _silent: Vec<TcpStream> = (0..PLACES).map(connect).collect();
        for _ in 0..10 {
            assert_eq!(api.ask("GET", BASE, &[], "").status(), 200);
        }
        assert!(
            began.elapsed() < IDLE,
            "{sent:?}: only when they are let go"
        );
    }
}

#[tokio::test]
async fn of_those_who_come_together_each_gets_an_answer() {
    let api = Api::start("").await;
    let ask = || api.ask("GET", GROUPS, &[], "").status();
    let statuses: Vec<u16> = thread::scope(|threads| {
        let asking: Vec<_> = (0..TOGETHER).map(|_| threads.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; TOGETHER]);
}

#[tokio::test]
async fn of_many_writes_each_is_done_or_to_be_tried_again_in_a_second() {
    let api = Api::start("").await;
    let write = |number: usize| {
        let reply = api.post_group(&format!("group-{number}"));
        match reply.status() {
            202 => 1,
            status => {
                assert_eq!(
                    (status, reply.header("retry-after")),
                    (429, Some("1")),
                    "{reply:?}"
                );
                0
            }
        }
    };
    let write = &write;
    let done: usize = thread::scope(|threads| {
        let writing: Vec<_> = (0..TOGETHER)
            .map(|number| threads.spawn(move || write(number)))
            .collect();
        writing.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(done > 0);
    let kept = api.get(&format!("{GROUPS}?limit=200"))["items"].clone();
    assert_eq!(kept.as_array().unwrap().len(), done);
    assert_eq!(
        api.ask("POST", GROUPS, &[], &group("another")).status(),
        202
    );
}
