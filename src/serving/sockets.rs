//! The sockets that a configuration needs and that are not there yet.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::fault::{Fault, Object};
use crate::config::model::{self, Config, ListenAddress};
use crate::listener::control::{ControlListener, ControlSocket};
use crate::listener::{Listeners, Sockets};

/// Sockets for the addresses that are not listened on yet.
pub(super) struct NewSockets {
    pub(super) listeners: HashMap<SocketAddr, TcpListener>,
    pub(super) admin: NewControl,
    pub(super) api: NewControl,
}

/// A control address with its socket, where there was none.
pub(super) type NewControl = Option<(ListenAddress, ControlSocket)>;

/// What listens already.
#[derive(Clone, Copy)]
pub(super) struct Present<'a> {
    pub(super) admin: &'a ControlListener,
    pub(super) api: Option<&'a ControlListener>,
    pub(super) listeners: &'a Listeners,
}

impl NewSockets {
    /// Listens for what is in the configuration, unless it is among what is present.
    pub(super) fn listen(
        config: &Config,
        present: Option<Present<'_>>,
        sockets: &mut Sockets,
    ) -> Result<Self, Vec<Fault>> {
        let faults = Vec::new();
        let mut opening = Opening { sockets, faults };
        let (admin, now) = (&config.admin, present.map(|present| present.admin));
        let is_new = moves(now, &admin.listen);
        let admin = is_new.then(|| opening.control("admin.listen", &admin.listen, admin.mode));
        let now = present.and_then(|present| present.api);
        // Whether there is an API is settled at the start.
        let is_new = |api: &&model::Api| match present {
            Some(_) => now.is_some() && moves(now, &api.listen),
            None => true,
        };
        let api = config.api.as_ref().filter(is_new);
        let api = api.map(|api| opening.control("api.listen", &api.listen, api.mode));
        let is_new = |rule: &&Arc<model::ForwardingRule>| {
            present.is_none_or(|present| !present.listeners.has(&rule.listen))
        };
        let rules = config.forwarding_rules.iter().filter(is_new);
        let listeners = rules.filter_map(|rule| opening.rule(rule)).collect();
        match opening.faults.is_empty() {
            true => Ok(NewSockets {
                listeners,
                admin: admin.flatten(),
                api: api.flatten(),
            }),
            false => Err(opening.faults),
        }
    }
}

/// Sockets while they are opened, and what went wrong.
struct Opening<'a> {
    sockets: &'a mut Sockets,
    faults: Vec<Fault>,
}

impl Opening<'_> {
    fn control(&mut self, key: &'static str, address: &ListenAddress, mode: u32) -> NewControl {
        let sockets = &mut self.sockets;
        let socket = match address {
            ListenAddress::Tcp(address) => sockets.listen(*address, true).map(ControlSocket::Tcp),
            ListenAddress::Unix(path) => sockets.listen_unix(path, mode).map(ControlSocket::Unix),
        };
        let object = || Object::Setting(key);
        let socket = self.noted(socket, object, address)?;
        Some((address.clone(), socket))
    }

    fn rule(&mut self, rule: &model::ForwardingRule) -> Option<(SocketAddr, TcpListener)> {
        let socket = self.sockets.listen(rule.listen, rule.v6_only);
        let object = || Object::ForwardingRule(rule.name.clone());
        let socket = self.noted(socket, object, &rule.listen)?;
        Some((rule.listen, socket))
    }

    /// The socket, or nothing where there is none; why is noted.
    fn noted<S>(
        &mut self,
        socket: io::Result<S>,
        object: impl Fn() -> Object,
        address: &impl Display,
    ) -> Option<S> {
        let note = |error| self.faults.push(cannot_listen(object(), address, &error));
        socket.map_err(note).ok()
    }
}

/// Whether this is another address than the present one, if there is one.
fn moves(present: Option<&ControlListener>, address: &ListenAddress) -> bool {
    present.is_none_or(|present| present.address() != *address)
}

/// That an object cannot listen.
pub(super) fn cannot_listen(object: Object, address: &impl Display, error: &io::Error) -> Fault {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; a port below 1024 needs CAP_NET_BIND_SERVICE",
        _ => "",
    };
    let fault = Fault::new(object, format!("cannot listen on {address}: {error}{hint}"));
    fault.of_key("listenerIp")
}
