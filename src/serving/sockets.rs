//! The sockets that a configuration needs and that are not there yet.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::fault::{Fault, Object};
use crate::config::model::{self, AdminAddress, Config};
use crate::listener::admin::{AdminListener, AdminSocket};
use crate::listener::{Listeners, Sockets};

/// Sockets for the addresses that are not listened on yet.
pub(super) struct NewSockets {
    pub(super) listeners: HashMap<SocketAddr, TcpListener>,
    pub(super) admin: Option<(AdminAddress, AdminSocket)>,
}

impl NewSockets {
    /// Listens for what is in the configuration, unless it is among what is present.
    pub(super) fn listen(
        config: &Config,
        present: Option<(&AdminListener, &Listeners)>,
        sockets: &mut Sockets,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let listen = &config.admin.listen;
        let moves = present.is_none_or(|(admin, _)| admin.address() != *listen);
        let admin = moves.then(|| admin_socket(&config.admin, sockets));
        let admin = match admin.transpose() {
            Ok(socket) => socket.map(|socket| (listen.clone(), socket)),
            Err(error) => {
                let admin = Object::Setting("admin.listen");
                faults.push(cannot_listen(admin, listen, &error));
                None
            }
        };
        let mut listen = |rule: &Arc<model::ForwardingRule>| {
            let address = rule.listen;
            match sockets.listen(address, rule.v6_only) {
                Ok(socket) => Some((address, socket)),
                Err(error) => {
                    let rule = Object::ForwardingRule(rule.name.clone());
                    faults.push(cannot_listen(rule, &address, &error));
                    None
                }
            }
        };
        let is_new =
            |address: &SocketAddr| present.is_none_or(|(_, listeners)| !listeners.has(address));
        let rules = config.forwarding_rules.iter();
        let new = rules.filter(|rule| is_new(&rule.listen));
        let listeners = new.filter_map(&mut listen).collect();
        if faults.is_empty() {
            Ok(NewSockets { listeners, admin })
        } else {
            Err(faults)
        }
    }
}

fn admin_socket(admin: &model::Admin, sockets: &mut Sockets) -> io::Result<AdminSocket> {
    match &admin.listen {
        AdminAddress::Tcp(address) => sockets.listen(*address, true).map(AdminSocket::Tcp),
        AdminAddress::Unix(path) => sockets.listen_unix(path, admin.mode).map(AdminSocket::Unix),
    }
}

fn cannot_listen(object: Object, address: &impl Display, error: &io::Error) -> Fault {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE",
        _ => "",
    };
    Fault::new(object, format!("cannot listen on {address}: {error}{hint}"))
}
