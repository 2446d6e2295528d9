//! Requests to the admin address, and to a Unix socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::client::header;
use super::edge::body_of;
use super::{Edge, PATIENCE, client};

/// The status and the JSON of the answer. A Host is added where none is given.
pub fn ask(
    edge: &Edge,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let answer = ask_at(edge.admin, method, path, headers, body);
    (client::status(&answer), body_of(&answer))
}

/// The same without headers and body.
pub fn send(edge: &Edge, method: &str, path: &str) -> (u16, Value) {
    ask(edge, method, path, &[], "")
}

/// The JSON of a page that must be there.
pub fn get(edge: &Edge, path: &str) -> Value {
    let (status, answer) = send(edge, "GET", path);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// What a request with this body is answered with, whatever the status.
pub fn post(edge: &Edge, path: &str, body: &Value) -> Value {
    body_of(&ask_at(edge.admin, "POST", path, &[], &body.to_string()))
}

/// The whole answer.
pub fn ask_at(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let host = address.to_string();
    let text = text(method, path, &host, headers, body);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, &text).unwrap()
}

/// The whole answer, if there is one.
pub fn try_at(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<String> {
    let text = text(method, path, &address.to_string(), &[], body);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = exchange(&mut stream, &text).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length: usize = header(head, "content-length")?.parse().ok()?;
    (body.len() == length).then_some(answer)
}

/// The whole answer of whoever listens on a Unix socket.
pub fn ask_unix(socket: &Path, method: &str, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(&mut stream, &text(method, path, "any.example", &[], ""))
}

fn text(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let host = [("Host", host)];
    let has_host = headers.iter().any(|(name, _)| *name == "Host");
    for (name, value) in host.iter().filter(|_| !has_host).chain(headers) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

fn exchange(stream: &mut (impl Read + Write), text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How many tunnels the relay has: what is not handed over is not among them.
pub fn relayed(edge: &Edge) -> serde_json::Value {
    body_of(&edge.admin_page("/api/v1/tunnels"))["total"].clone()
}
