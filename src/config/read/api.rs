//! `api`: where the IONOS API is offered, to whom, and where what it is told is kept.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::super::model::{
    Api, Datacenter, Lan, ListenAddress, Store, User, WebSocketChecks, Written,
};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::{none_named, quoted};
use super::addresses::{Addresses, Families};
use super::{api_store, defaults, operators};

pub(super) const KEYS: &[&str] = &[
    "listen",
    "mode",
    "certificate",
    "tokenFile",
    "usersFile",
    "hostNames",
    "store",
    "datacenters",
    "addresses",
    "webSocketChecks",
    "anyAddress",
];
pub(super) const DATACENTER_KEYS: &[&str] = &["id", "name", "location", "lans"];
pub(super) const LAN_KEYS: &[&str] = &["id", "name", "public"];

const WEB_SOCKET_CHECKS: &[(&str, WebSocketChecks)] = &[
    ("keep", WebSocketChecks::Keep),
    ("convert", WebSocketChecks::Convert),
];
const LARGEST_USERS_FILE: u64 = 1 << 20;
/// Nobody but its owner.
const OTHERS: u32 = 0o077;

/// `certificates` are the names that there are.
pub(super) fn read(
    top: &Mapping,
    addresses: &mut Addresses,
    certificates: &HashSet<&str>,
) -> Option<Option<Api>> {
    let Some(node) = top.get("api") else {
        return Some(None);
    };
    let mapping = node.mapping(KEYS)?;
    let listen = mapping.required("listen", operators::address);
    let mode = operators::mode(&mapping, listen.as_ref());
    let certificate = mapping.or("certificate", None, |node| {
        certificate(node, certificates).map(Some)
    });
    let token = mapping.or("tokenFile", None, |node| operators::token(node).map(Some));
    let users = mapping.or("usersFile", Vec::new(), users);
    let host_names = mapping.or("hostNames", Vec::new(), |list| {
        list.each(|node| operators::host_name(&node))
    });
    let store = mapping.required("store", |node| api_store::read(node, certificates));
    let any_address = mapping.or("anyAddress", defaults::ANY_ADDRESS, Node::boolean);
    let datacenters = datacenters(&mapping);
    let blocks = mapping.or("addresses", Vec::new(), Node::blocks);
    let checks = mapping.or("webSocketChecks", defaults::WEB_SOCKET_CHECKS, |node| {
        node.choice(WEB_SOCKET_CHECKS, &[])
    });
    if let Some(ListenAddress::Tcp(address)) = &listen {
        let families = Families::of(*address, true);
        addresses.enter(*address, families, "api.listen", &mapping, "listen");
        check_credentials(&mapping, address.ip().is_loopback());
    }
    if let (Some(Store::File(_)), Some(true)) = (&store, any_address) {
        mapping.warning("anyAddress", "has no effect without a store of type ETCD");
    }
    Some(Some(Api {
        listen: listen?,
        mode: mode?,
        certificate: certificate?,
        token: token?,
        users: users?,
        host_names: host_names?,
        store: store?,
        datacenters: datacenters?,
        addresses: blocks?,
        web_socket_checks: checks?,
        any_address: any_address?,
        written: Arc::new(written(top)),
    }))
}

fn check_credentials(api: &Mapping, is_loopback: bool) {
    let are_there = ["tokenFile", "usersFile"]
        .iter()
        .any(|key| api.get(key).is_some());
    if is_loopback {
        return;
    }
    if !are_there {
        let message = "must be a loopback address, or unix:PATH, or tokenFile or usersFile must be \
                       set: others could change everything";
        api.problem::<()>("listen", message);
    } else if api.get("certificate").is_none() {
        api.warning(
            "listen",
            "tokens and passwords pass unencrypted: see certificate",
        );
    }
}

fn certificate(node: &Node, known: &HashSet<&str>) -> Option<String> {
    let name = node.string()?;
    match known.contains(name) {
        true => Some(name.to_owned()),
        false => node.problem(none_named("certificate", name, known.iter().copied())),
    }
}

/// What is in the file: a name and a password a line.
fn users(node: &Node) -> Option<Vec<User>> {
    let path = node.path_of_file()?;
    let content = operators::content(node, &path, LARGEST_USERS_FILE)?;
    let path = path.display();
    let Ok(text) = String::from_utf8(content) else {
        return node.problem(format!("{path}: is not UTF-8"));
    };
    if fs::metadata(path.to_string()).is_ok_and(|file| file.mode() & OTHERS != 0) {
        return node.problem(format!(
            "{path}: others than its owner can use it; its mode must be 0600"
        ));
    }
    let mut users: Vec<User> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, password)) = line.split_once(':') else {
            return node.problem(format!("{path}: line {number} must be NAME:PASSWORD"));
        };
        if name.is_empty() || password.is_empty() {
            return node.problem(format!("{path}: line {number} has no name or no password"));
        }
        if users.iter().any(|known| *known.name == *name) {
            return node.problem(format!(
                "{path}: line {number}: {} occurs twice",
                quoted(name)
            ));
        }
        let (name, password) = (name.into(), password.into());
        users.push(User { name, password });
    }
    match users.is_empty() {
        true => node.problem(format!("{path}: nobody is in it")),
        false => Some(users),
    }
}

fn datacenters(api: &Mapping) -> Option<Vec<Datacenter>> {
    let mut names = Unique::new("name");
    let mut ids = Unique::new("id");
    api.or("datacenters", Vec::new(), |list| {
        list.each(|node| {
            let mapping = node.mapping(DATACENTER_KEYS)?;
            let name = mapping.required("name", |node| node.name(&mut names));
            let location = mapping.required("location", |node| node.text().map(str::to_owned));
            let id = mapping.or("id", None, |node| uuid(node).map(Some));
            let lans = lans(&mapping);
            let name = name?;
            let id = id?.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
            ids.enter(id, &node);
            Some(Datacenter {
                id,
                name,
                location: location?,
                lans: lans?,
            })
        })
    })
}

fn uuid(node: &Node) -> Option<Uuid> {
    let id = node.value.as_str().and_then(|text| text.parse().ok());
    id.or_else(|| node.wrong("a UUID"))
}

fn lans(datacenter: &Mapping) -> Option<Vec<Lan>> {
    let mut ids = Unique::new("id");
    datacenter.or("lans", Vec::new(), |list| {
        list.each(|node| {
            let mapping = node.mapping(LAN_KEYS)?;
            let id = mapping.required("id", |node| node.integer(1..=i32::MAX as u32));
            let name = mapping.or("name", String::new(), |node| {
                node.string().map(str::to_owned)
            });
            let public = mapping.or("public", false, Node::boolean);
            let id = id?;
            ids.enter(id, &node);
            Some(Lan {
                id,
                name: name?,
                public: public?,
            })
        })
    })
}

/// What the file has, for the API to show.
fn written(top: &Mapping) -> Written {
    let entries = |key: &str| {
        let list = top.get(key).and_then(|node| node.value.as_array());
        let entry = |entry: &Value| entry.get("properties").unwrap_or(entry).clone();
        list.into_iter().flatten().map(entry).collect::<Vec<_>>()
    };
    let name = |entry: Value| Some(entry.get("name")?.as_str()?.to_owned());
    Written {
        target_groups: entries("targetGroups"),
        forwarding_rules: entries("forwardingRules"),
        certificates: entries("certificates")
            .into_iter()
            .filter_map(name)
            .collect(),
    }
}
