//! What a start would refuse, tried without keeping anything: addresses of this machine, ports that
//! this user may have, and folders in which files and sockets are made.
//!
//! Nothing listens meanwhile, and no file is made. A port that is in use is no problem: whoever
//! serves now may have it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::cannot_listen;
use crate::config::fault::{Fault, Object};
use crate::config::model::{Config, ListenAddress, Store};

/// How a trial went.
#[derive(Debug, Default)]
pub struct Trial {
    /// What a start would refuse.
    pub faults: Vec<Fault>,
    /// What it might, a line each.
    pub told: Vec<String>,
}

/// Tries the folders that a configuration needs.
pub fn folders(config: &Config) -> Vec<Fault> {
    let unix = |address: &ListenAddress| match address {
        ListenAddress::Unix(path) => Some(path.clone()),
        ListenAddress::Tcp(_) => None,
    };
    let (server, api) = (&config.server, config.api.as_ref());
    let files = [
        ("accessLog.path", config.access_log.path.clone()),
        ("admin.listen", unix(&config.admin.listen)),
        ("api.listen", api.and_then(|api| unix(&api.listen))),
        ("server.upgradeSocket", server.upgrade_socket.clone()),
        ("server.pidFile", server.pid_file.clone()),
    ];
    let store = api.map(|api| match &api.store {
        Store::File(path) => path.clone(),
        Store::Etcd(etcd) => etcd.path.clone(),
    });
    let folders = [
        ("accessLog.journal", config.access_log.journal.clone()),
        ("api.store", store),
    ];
    let why_not_file = |path: PathBuf| match path.exists() && !path.is_dir() {
        true => why_not(&path, Access::WRITE_OK),
        false => why_no_entry(path.parent().unwrap_or(&path)),
    };
    let files = files
        .into_iter()
        .map(|(key, path)| (key, path.and_then(why_not_file)));
    // These are made where they are missing.
    let there = |path: PathBuf| {
        path.ancestors()
            .find(|path| path.exists())
            .map(Path::to_owned)
    };
    let why_no_folder = |path: PathBuf| there(path).and_then(|path| why_no_entry(&path));
    let folders = folders
        .into_iter()
        .map(|(key, path)| (key, path.and_then(why_no_folder)));
    let all = files.chain(folders);
    all.filter_map(|(key, why)| Some(Fault::new(Object::Setting(key), why?)))
        .collect()
}

/// Tries the addresses of a configuration that are not among those that are there.
pub fn addresses(config: &Config, is_there: impl Fn(&SocketAddr) -> bool) -> Trial {
    let tcp = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    };
    let api = config.api.as_ref().and_then(|api| tcp(&api.listen));
    let control = [
        ("admin.listen", tcp(&config.admin.listen)),
        ("api.listen", api),
    ];
    let control = control.into_iter().filter_map(|(key, address)| {
        let object = Object::Setting(key);
        Some((object, address?, true))
    });
    let rules = config.forwarding_rules.iter().map(|rule| {
        let object = Object::ForwardingRule(rule.name.clone());
        (object, rule.listen, rule.v6_only)
    });
    let mut trial = Trial::default();
    for (object, address, v6_only) in control.chain(rules) {
        if is_there(&address) {
            continue;
        }
        match bind(address, v6_only) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let place = object.place(config).unwrap_or_else(|| object.to_string());
                trial.told.push(format!("{place}: {address} is in use now"));
            }
            Err(error) => trial.faults.push(cannot_listen(object, &address, &error)),
        }
    }
    trial
}

/// As a start does, but nobody is let in.
fn bind(address: SocketAddr, v6_only: bool) -> io::Result<()> {
    let (domain, kind) = (Domain::for_address(address), Type::STREAM);
    let socket = Socket::new(domain, kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Why no file can be made in a folder.
fn why_no_entry(folder: &Path) -> Option<String> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    if folder.exists() && !folder.is_dir() {
        return Some(format!("{} is no folder", folder.display()));
    }
    why_not(folder, Access::WRITE_OK | Access::EXEC_OK)
}

fn why_not(path: &Path, wanted: Access) -> Option<String> {
    let error = io::Error::from(access(path, wanted).err()?);
    Some(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::parse;

    fn config(port: u16, ip: &str, more: &str) -> Config {
        let text = format!(
            "forwardingRules:\n- {{name: a, protocol: HTTP, listenerIp: \"{ip}\", listenerPort: \
             {port}, httpRules: [{{name: r, type: STATIC, responseMessage: x}}]}}\n{more}"
        );
        parse("file", &text).unwrap().config
    }

    #[test]
    fn an_address_of_another_machine_is_refused_and_a_busy_port_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let admin = "admin: {listen: \"unix:/tmp/none\"}";
        let busy = config(address.port(), "127.0.0.1", admin);
        let trial = addresses(&busy, |_| false);
        let told = format!("forwardingRules[0]: {address} is in use now");
        assert_eq!((trial.faults, trial.told), (vec![], vec![told]));
        let trial = addresses(&busy, |there| *there == address);
        assert_eq!((trial.faults, trial.told), (vec![], vec![]));
        let strange = config(address.port(), "192.0.2.1", admin);
        let trial = addresses(&strange, |_| false);
        let fault = trial.faults[0].to_string();
        assert!(fault.contains("cannot listen on 192.0.2.1:"), "{fault}");
    }

    #[test]
    fn a_folder_that_is_missing_is_named_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let more = format!(
            "admin: {{listen: \"unix:{path}/admin\"}}\n\
             accessLog: {{path: {path}/missing/log, journal: {path}/made/journal}}"
        );
        let faults = folders(&config(80, "127.0.0.1", &more));
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let expected =
            format!("accessLog.path: {path}/missing: No such file or directory (os error 2)");
        assert_eq!(faults, [expected]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
