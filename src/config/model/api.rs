//! `api`: the IONOS API, over which target groups and forwarding rules are made, changed and
//! removed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use uuid::Uuid;

use super::{ListenAddress, Token};
use crate::config::secret_key::SecretKey;

/// `api`
#[derive(Debug, Clone)]
pub struct Api {
    /// `listen`: required.
    pub listen: ListenAddress,
    /// `mode`: who may use a Unix socket. Default: 0660.
    pub mode: u32,
    /// `certificate`: the name of one that exists, which is shown to clients. Default: no TLS.
    pub certificate: Option<String>,
    /// `tokenFile`: what a client may know. Default: nothing.
    pub token: Option<Token>,
    /// `usersFile`: who a client may be. Default: nobody.
    pub users: Vec<User>,
    /// `hostNames`: by which names it is called, beside its addresses; in lower case. Default:
    /// none.
    pub host_names: Vec<String>,
    /// `store`: required.
    pub store: Store,
    /// `datacenters`: those that there are, beside those that clients make. Default: any whose id
    /// a client names.
    pub datacenters: Vec<Datacenter>,
    /// `addresses`: what IP blocks are taken from. Default: the addresses of this machine.
    pub addresses: Vec<IpNet>,
    /// `webSocketChecks`. Default: keep.
    pub web_socket_checks: WebSocketChecks,
    /// `anyAddress`: whether rules are served whose `listenerIp` is no address of this machine,
    /// where the store is etcd. Default: false; they are for other nodes.
    pub any_address: bool,
    /// What the file has beside the API: shown there, and not changed.
    pub written: Arc<Written>,
}

/// A line of `api.usersFile`. The password does not show in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Box<str>,
    /// Its password.
    pub password: Box<str>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// `api.store`: where what clients write is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// `FILE`: in this folder.
    File(PathBuf),
    /// `ETCD`: there, with a copy in a folder.
    Etcd(Box<Etcd>),
}

impl Store {
    /// The folder of this node.
    pub fn folder(&self) -> &Path {
        match self {
            Store::File(path) => path,
            Store::Etcd(etcd) => &etcd.path,
        }
    }
}

/// `api.store` of the type `ETCD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    /// `path`: the folder of the copy. Required.
    pub path: PathBuf,
    /// `endpoints`: URLs of members, at least one.
    pub endpoints: Vec<String>,
    /// `prefix`: what all keys begin with; it ends with a slash. Default: `/culvert/`.
    pub prefix: String,
    /// `caFile`: whom the certificates of members must come from. Default: nobody; required for
    /// `https`.
    pub authorities: Vec<CertificateDer<'static>>,
    /// `certificate`: the name of one that exists, which is shown to members. Default: none.
    pub certificate: Option<String>,
    /// `user`, with what is in `passwordFile`. Default: nobody.
    pub user: Option<User>,
    /// `node`: what this node is called among the others. Default: the name of the machine.
    pub node: String,
    /// `sealingKeyFile`: what keys that the nodes have in common are sealed with, the first, and
    /// opened, all. Default: none; nothing is in common then.
    pub sealing_keys: Vec<SecretKey>,
}

/// An entry of `api.datacenters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datacenter {
    /// `id`. Default: one that is made of the name.
    pub id: Uuid,
    /// `name`: unique among the datacenters.
    pub name: String,
    /// `location`: `de/txl`, say.
    pub location: String,
    /// `lans`. Default: none.
    pub lans: Vec<Lan>,
}

/// An entry of `lans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lan {
    /// `id`: unique in its datacenter.
    pub id: u32,
    /// `name`. Default: empty.
    pub name: String,
    /// `public`. Default: false.
    pub public: bool,
}

/// `api.webSocketChecks`: what becomes of an HTTP check of a target group to which only
/// upgrades are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebSocketChecks {
    /// `keep`: it is made as it was sent.
    Keep,
    /// `convert`: it is a TCP check; the API returns it as it was sent.
    Convert,
}

/// Objects as the file has them, in its words.
#[derive(Debug, Default, PartialEq)]
pub struct Written {
    /// The entries of `targetGroups`.
    pub target_groups: Vec<Value>,
    /// The entries of `forwardingRules`.
    pub forwarding_rules: Vec<Value>,
    /// The names of the entries of `certificates`.
    pub certificates: Vec<String>,
}
