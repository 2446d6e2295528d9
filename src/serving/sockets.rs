//! The sockets that a configuration needs and that are not there yet.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};

use super::{Serving, path_of, problem};
use crate::admin::Socket;
use crate::config::model::{self, AdminAddress, Config};
use crate::config::problem::Problem;
use crate::listener::Sockets;

/// Sockets for the addresses that are not listened on yet.
pub(super) struct NewSockets {
    pub(super) listeners: HashMap<SocketAddr, TcpListener>,
    pub(super) admin: Option<(AdminAddress, Socket)>,
}

impl NewSockets {
    pub(super) fn listen(
        config: &Config,
        serving: Option<&Serving>,
        sockets: &mut Sockets,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let listen = &config.admin.listen;
        let moves = serving.is_none_or(|now| now.admin.address() != *listen);
        let admin = moves.then(|| admin_socket(&config.admin, sockets));
        let admin = match admin.transpose() {
            Ok(socket) => socket.map(|socket| (listen.clone(), socket)),
            Err(error) => {
                problems.push(cannot_listen("admin.listen", listen, &error));
                None
            }
        };
        let mut listen = |path: &str, address, v6_only| match sockets.listen(address, v6_only) {
            Ok(socket) => Some((address, socket)),
            Err(error) => {
                problems.push(cannot_listen(path, &address, &error));
                None
            }
        };
        let is_new = |address: &SocketAddr| serving.is_none_or(|now| !now.listeners.has(address));
        let places = config.forwarding_rules.iter().enumerate();
        let new = places.filter(|(_, rule)| is_new(&rule.listen));
        let listeners = new
            .filter_map(|(place, rule)| listen(&path_of(place), rule.listen, rule.v6_only))
            .collect();
        if problems.is_empty() {
            Ok(NewSockets { listeners, admin })
        } else {
            Err(problems)
        }
    }
}

fn admin_socket(admin: &model::Admin, sockets: &mut Sockets) -> io::Result<Socket> {
    match &admin.listen {
        AdminAddress::Tcp(address) => sockets.listen(*address, true).map(Socket::Tcp),
        AdminAddress::Unix(path) => sockets.listen_unix(path, admin.mode).map(Socket::Unix),
    }
}

fn cannot_listen(path: &str, address: &impl Display, error: &io::Error) -> Problem {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE",
        _ => "",
    };
    problem(path, format!("cannot listen on {address}: {error}{hint}"))
}
