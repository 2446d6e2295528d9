//! A request of a case, as one line says it.

use std::net::IpAddr;

use http::{HeaderName, Method};

use super::super::compiled::{Compiled, Socket};

/// A request of a case.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) sni: Option<String>,
    pub(super) address: Option<IpAddr>,
}

impl Asked {
    pub(super) fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace().peekable();
        let method = words.next_if(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
        let target = words.next().unwrap();
        let (is_tls, target) = match target.strip_prefix("https:") {
            Some(target) => (true, target),
            None => (false, target),
        };
        let (authority, rest) = target.split_at(target.find('/').unwrap_or(target.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().unwrap()),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let mut asked = Asked {
            method: Method::try_from(method.unwrap_or("GET")).unwrap(),
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            query,
            headers: Vec::new(),
            sni: is_tls.then(|| host.to_owned()),
            address: None,
        };
        for word in words {
            match (word.strip_prefix('@'), word.split_once(':')) {
                (Some(address), _) => asked.address = Some(address.parse().unwrap()),
                (None, Some(("sni", "-"))) => asked.sni = None,
                (None, Some(("sni", name))) => asked.sni = Some(name.to_owned()),
                (None, Some((name, value))) => {
                    let name = HeaderName::try_from(name).unwrap();
                    asked.headers.push((name, value.to_owned()));
                }
                (None, None) => panic!("{word}"),
            }
        }
        asked
    }

    /// The socket where it arrives.
    pub(super) fn socket<'a>(&self, compiled: &'a Compiled) -> Option<&'a Socket> {
        let mut sockets = compiled.sockets.iter();
        sockets.find(|socket| {
            let is_there = self.address.is_none_or(|ip| socket.address.ip() == ip);
            socket.address.port() == self.port && is_there
        })
    }
}
