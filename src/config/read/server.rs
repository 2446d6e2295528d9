//! `server`: what concerns the process.

use std::sync::Arc;

use log::LevelFilter;

use super::super::model::{Drain, Memory, Resolver, Server, TunnelRecords, Upgrade};
use super::super::tree::{Mapping, Node};
use super::{defaults, secret_keys};

pub(super) const KEYS: &[&str] = &[
    "name",
    "threads",
    "maxConnections",
    "memory",
    "drain",
    "upgrade",
    "upgradeSocket",
    "pidFile",
    "sessionTicketKeyFile",
    "stickinessKeyFile",
    "tunnelRecords",
    "resolver",
    "logLevel",
];
pub(super) const DRAIN_KEYS: &[&str] = &["readyDelay", "deadline", "rate"];
pub(super) const MEMORY_KEYS: &[&str] = &["limit"];
pub(super) const UPGRADE_KEYS: &[&str] = &["drainDeadline", "timeout", "moveTunnels"];
pub(super) const RESOLVER_KEYS: &[&str] = &["nameServers", "timeout"];

const TUNNEL_RECORDS: &[(&str, TunnelRecords)] = &[
    ("own", TunnelRecords::Own),
    ("rustls", TunnelRecords::Rustls),
];

const LOG_LEVELS: &[(&str, LevelFilter)] = &[
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];

pub(super) fn read(top: &Mapping) -> Option<Server> {
    let mapping = top.section("server", KEYS)?;
    let name = match mapping.get("name") {
        Some(node) => name(&node),
        None => Some(defaults::node()),
    };
    let threads = mapping.or("threads", defaults::threads(), |node| {
        node.integer(1..=1024)
    });
    let max_connections = mapping.or("maxConnections", None, |node| node.connections().map(Some));
    let memory = memory(&mapping);
    let drain = drain(&mapping);
    let upgrade = upgrade(&mapping);
    let path = |key| mapping.or(key, None, |node| node.path_of_file().map(Some));
    let upgrade_socket = path("upgradeSocket");
    let pid_file = path("pidFile");
    let session_ticket_keys = mapping.or("sessionTicketKeyFile", None, |node| {
        secret_keys::session_tickets(node).map(Some)
    });
    let stickiness_keys = mapping.or("stickinessKeyFile", Vec::new(), secret_keys::stickiness);
    let tunnel_records = mapping.or("tunnelRecords", TunnelRecords::default(), |node| {
        node.choice(TUNNEL_RECORDS, &[])
    });
    let resolver = resolver(&mapping);
    let log_level = mapping.or("logLevel", None, |node| {
        node.choice(LOG_LEVELS, &[]).map(Some)
    });
    Some(Server {
        name: name?,
        threads: threads?,
        drain: drain?,
        upgrade: upgrade?,
        upgrade_socket: upgrade_socket?,
        pid_file: pid_file?,
        session_ticket_keys: session_ticket_keys?,
        stickiness_keys: stickiness_keys?,
        max_connections: max_connections?,
        memory: memory?,
        tunnel_records: tunnel_records?,
        resolver: resolver?,
        log_level: log_level?,
    })
}

fn name(node: &Node) -> Option<Arc<str>> {
    let name = node.text()?;
    match defaults::is_node(name) {
        true => Some(name.into()),
        false => node.wrong("a name of 1 to 64 visible characters"),
    }
}

fn drain(server: &Mapping) -> Option<Drain> {
    let mapping = server.section("drain", DRAIN_KEYS)?;
    let default = Drain::default();
    let ready_delay = mapping.or("readyDelay", default.ready_delay, |node| node.delay());
    let deadline = mapping.or("deadline", default.deadline, |node| node.duration());
    let rate = mapping.or("rate", default.rate, |node| {
        node.integer(1..=1_000_000).map(Some)
    });
    let drain = Drain {
        ready_delay: ready_delay?,
        deadline: deadline?,
        rate: rate?,
    };
    if drain.ready_delay >= drain.deadline {
        return mapping.problem("readyDelay", "must be shorter than deadline");
    }
    Some(drain)
}

fn memory(server: &Mapping) -> Option<Memory> {
    let mapping = server.section("memory", MEMORY_KEYS)?;
    let limit = mapping.or("limit", Memory::default().limit, |node| {
        node.memory().map(Some)
    });
    Some(Memory { limit: limit? })
}

fn resolver(server: &Mapping) -> Option<Resolver> {
    let mapping = server.section("resolver", RESOLVER_KEYS)?;
    let default = Resolver::default();
    let name_servers = mapping.or("nameServers", default.name_servers, |list| {
        list.each(|node| node.socket_address())
    });
    let timeout = mapping.or("timeout", default.timeout, |node| node.duration());
    Some(Resolver {
        name_servers: name_servers?,
        timeout: timeout?,
    })
}

fn upgrade(server: &Mapping) -> Option<Upgrade> {
    let mapping = server.section("upgrade", UPGRADE_KEYS)?;
    let default = Upgrade::default();
    let drain_deadline = mapping.or("drainDeadline", default.drain_deadline, |node| {
        node.duration()
    });
    let timeout = mapping.or("timeout", default.timeout, |node| node.duration());
    let move_tunnels = mapping.or("moveTunnels", default.move_tunnels, |node| node.boolean());
    Some(Upgrade {
        drain_deadline: drain_deadline?,
        timeout: timeout?,
        move_tunnels: move_tunnels?,
    })
}
