//! The connections of the server: requests with their answers, and streams.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::objects::{apply, merge};
use super::requests::Request;
use super::{Inner, Running, State};
use crate::harness::client::header;

/// How often a stream without events says that it lives.
const BOOKMARK: Duration = Duration::from_millis(500);

/// An answer: a status and a body.
type Answer = (u16, Value);

/// Answers requests until the connection or the server ends.
pub(super) fn serve(stream: TcpStream, inner: &Inner, running: &Running) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    let (mut reader, mut stream) = (BufReader::new(reading), stream);
    let losses = inner.lock().losses;
    while let Ok(Some(request)) = read(&mut reader) {
        let mut state = inner.lock();
        state.requests.push(request.clone());
        let is_waiting = |state: &mut State| {
            let is_held = request.is_list() && state.held.contains(&request.plural);
            let is_stalled = state.is_hanging || state.stalled.contains(&request.node);
            (is_held || is_stalled || state.losses > losses) && !running.is_over.load(SeqCst)
        };
        state = inner.changed.wait_while(state, is_waiting).unwrap();
        // Who has gone meanwhile wants nothing any more.
        if has_gone(&stream) {
            return;
        }
        if running.is_over.load(SeqCst) {
            return;
        }
        let answer = match refused(&state, &request) {
            Some(refused) => refused,
            None if request.is_watch() => {
                watch(&mut stream, inner, running, state, &request).ok();
                // Whoever ends all connections has it, too.
                stream.shutdown(Shutdown::Both).ok();
                return;
            }
            None => answer(&mut state, &request),
        };
        drop(state);
        inner.changed.notify_all();
        if send(&mut stream, answer).is_err() {
            return;
        }
    }
}

fn has_gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let has_gone = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_nonblocking(false).unwrap();
    has_gone
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut line = head.split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    Ok(Some(Request::read(method, target, &head, &body)))
}

fn send(stream: &mut TcpStream, (status, body): Answer) -> io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

fn status(code: u16, message: &str) -> Answer {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, status)
}

fn refused(state: &State, request: &Request) -> Option<Answer> {
    if state.missing.contains(&request.plural) {
        return Some(status(
            404,
            "the server could not find the requested resource",
        ));
    }
    let mut all = state.refused.iter();
    let is_it = |(method, plural, _): &&(&str, String, u16)| {
        *method == request.method && (*plural == request.plural || plural == "*")
    };
    all.find(is_it).map(|(_, _, code)| status(*code, "refused"))
}

fn answer(state: &mut State, request: &Request) -> Answer {
    let place = state
        .meddling
        .iter()
        .position(|(plural, _)| *plural == request.plural && request.method != "GET");
    if let Some(place) = place {
        let (_, how) = state.meddling.remove(place);
        let (plural, namespace) = (&request.plural, &request.namespace);
        state.objects.edit(plural, namespace, &request.name, how);
    }
    if request.is_list() {
        return list(state, request);
    }
    let Request {
        plural,
        namespace,
        name,
        body,
        ..
    } = request;
    let before = state.objects.get(plural, namespace, name).cloned();
    match (&*request.method, before) {
        ("GET", Some(object)) => (200, request.shown(&object)),
        ("POST", _) => create(state, request),
        ("PATCH", None) if request.content_type.contains("apply") && !request.is_status => {
            put(state, request, body.clone())
        }
        (_, None) => status(404, &format!("{plural} {name:?} not found")),
        ("DELETE", Some(object)) => {
            state.objects.delete(plural, namespace, name);
            (200, object)
        }
        (method, Some(before)) => {
            let version = &body["metadata"]["resourceVersion"];
            if !version.is_null() && *version != before["metadata"]["resourceVersion"] {
                return status(409, "the object has been modified");
            }
            let mut now = before.clone();
            let is_applied = request.content_type.contains("apply");
            match (method, is_applied) {
                ("PUT", _) => now = body.clone(),
                (_, true) => apply(&mut now, body),
                (_, false) => merge(&mut now, body),
            }
            put(state, request, now)
        }
    }
}

fn create(state: &mut State, request: &Request) -> Answer {
    let name = request.body["metadata"]["name"].as_str().unwrap_or("");
    let (plural, namespace) = (&request.plural, &request.namespace);
    if state.objects.get(plural, namespace, name).is_some() {
        return status(409, "it exists");
    }
    put(state, request, request.body.clone())
}

fn put(state: &mut State, request: &Request, mut object: Value) -> Answer {
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let (plural, namespace) = (&request.plural, &request.namespace);
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    state.objects.put(plural, object);
    let now = state.objects.get(plural, namespace, &name).unwrap();
    (200, now.clone())
}

fn list(state: &mut State, request: &Request) -> Answer {
    let begin: usize = request.parameter("continue").parse().unwrap_or(0);
    if begin > 0 && state.expired_pages > 0 {
        state.expired_pages -= 1;
        return status(410, "the continue token is too old");
    }
    let objects = state.stale.as_ref().unwrap_or(&state.objects);
    let wanted = objects.of(&request.plural);
    let wanted: Vec<_> = wanted.filter(|one| request.wants(one)).collect();
    let most = state.page.unwrap_or(usize::MAX);
    let page: Vec<_> = wanted.iter().skip(begin).take(most).collect();
    let end = begin + page.len();
    let rest = (end < wanted.len()).then(|| end.to_string());
    let items: Vec<_> = page.iter().map(|one| request.shown(one)).collect();
    let version = objects.version().to_string();
    let metadata = json!({"resourceVersion": version, "continue": rest});
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
    (200, list)
}

fn watch(
    stream: &mut TcpStream,
    inner: &Inner,
    running: &Running,
    mut state: MutexGuard<'_, State>,
    request: &Request,
) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let (cuts, errors) = (state.cuts, state.errors);
    let (losses, silences) = (state.losses, state.silences);
    let mut version = request.parameter("resourceVersion").parse().unwrap_or(0);
    let mut last = Instant::now();
    while !running.is_over.load(SeqCst) {
        let is_stalled = state.is_hanging || state.stalled.contains(&request.node);
        if is_stalled || state.losses > losses || state.silences > silences {
            state = inner.changed.wait(state).unwrap();
            continue;
        }
        if state.cuts > cuts {
            return chunk(stream, "{\"type\":\"MODIFIED\",\"object\":{\"metad");
        }
        let events = state.objects.since(version);
        let is_good = state.errors == errors && !state.are_expired;
        let Some(events) = events.filter(|_| is_good) else {
            let (_, error) = status(410, "too old resource version");
            event(stream, "ERROR", &error)?;
            return stream.write_all(b"0\r\n\r\n");
        };
        let of_kind = events.filter(|one| one.plural == request.plural);
        let wanted: Vec<_> = of_kind.filter(|one| request.wants(&one.object)).collect();
        let is_idle = wanted.is_empty();
        for one in wanted {
            event(stream, one.word, &request.shown(&one.object))?;
        }
        version = state.objects.version().max(version);
        if is_idle && last.elapsed() >= BOOKMARK {
            last = Instant::now();
            let metadata = json!({"resourceVersion": version.to_string()});
            let bookmark = json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": metadata});
            event(stream, "BOOKMARK", &bookmark)?;
        }
        let nothing = |state: &mut State| {
            let is_over = state.losses > losses || state.silences > silences;
            let is_new = state.objects.version() != version || state.is_hanging || is_over;
            !is_new && state.cuts == cuts && state.errors == errors && !running.is_over.load(SeqCst)
        };
        let waited = inner.changed.wait_timeout_while(state, BOOKMARK, nothing);
        state = waited.unwrap().0;
    }
    Ok(())
}

fn event(stream: &mut TcpStream, word: &str, object: &Value) -> io::Result<()> {
    let line = json!({"type": word, "object": object});
    chunk(stream, &format!("{line}\n"))
}

fn chunk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}
