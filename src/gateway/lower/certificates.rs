//! Which certificate is shown for which name. A listener's certificate is shown for the listener's
//! host, whatever names are in it, and for its own names as far as no other listener takes them.

use std::collections::BTreeMap;

use crate::config::model::Certificate;
use crate::gateway::compiled::{ServedListener, Socket};
use crate::gateway::objects::Host;

/// The names of the certificates of a socket, the default first; the certificates are put among
/// `all`.
pub(super) fn of(socket: &Socket, all: &mut BTreeMap<String, Certificate>) -> Vec<String> {
    if socket.tls.is_none() {
        return Vec::new();
    }
    // The listener without a host is the last, and for all that nobody else takes.
    let listeners = socket.listeners.iter().rev();
    let mut shown = Vec::new();
    for listener in listeners {
        for certificate in &listener.certificates {
            let names = names(certificate, listener, socket);
            let name = put(certificate, names, listener, socket, all);
            if !shown.contains(&name) {
                shown.push(name);
            }
        }
    }
    shown
}

fn names(certificate: &Certificate, listener: &ServedListener, socket: &Socket) -> Vec<String> {
    let mut names: Vec<String> = listener.host.iter().map(ToString::to_string).collect();
    let own = certificate.names.iter().filter(|name| {
        let Some(host) = Host::parse(name) else {
            return false;
        };
        let takes = |one: &&ServedListener| match &one.host {
            None => true,
            Some(own) => own.common(&host).as_ref() == Some(&host),
        };
        let first = socket.listeners.iter().find(takes);
        first.is_some_and(|first| first.name == listener.name)
    });
    for name in own {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Puts a certificate that is shown for these names among all; what it is called there.
fn put(
    certificate: &Certificate,
    names: Vec<String>,
    listener: &ServedListener,
    socket: &Socket,
    all: &mut BTreeMap<String, Certificate>,
) -> String {
    let own = &certificate.name;
    let candidates = [
        own.clone(),
        format!("{own} for {}", listener.name),
        format!("{own} for {} at {}", listener.name, socket.address),
    ];
    for name in candidates {
        let is_own = name == *own;
        if is_own && names != certificate.names {
            continue;
        }
        match all.get(&name) {
            Some(there) if there.names != names => {}
            Some(_) => return name,
            None => {
                let certificate = Certificate {
                    name: name.clone(),
                    names,
                    ..certificate.clone()
                };
                all.insert(name.clone(), certificate);
                return name;
            }
        }
    }
    own.clone()
}
