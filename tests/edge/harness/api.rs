//! A Culvert with the IONOS API, and requests to it.

use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::{Value, json};

use super::admin::ask_at;
use super::client::{header, status};
use super::edge::{body_of, free_addresses};
use super::{Answer, Config, Connection, Edge};

/// What the paths of the API begin with.
pub const BASE: &str = "/cloudapi/v6";
/// Where target groups are.
pub const GROUPS: &str = "/cloudapi/v6/targetgroups";

const DATACENTER: &str = "/cloudapi/v6/datacenters/11111111-1111-4111-8111-111111111111";

/// A running Culvert, and where its API listens.
pub struct Api {
    pub edge: Edge,
    pub address: SocketAddr,
}

/// An answer: its head, and its body.
#[derive(Debug)]
pub struct Reply {
    pub head: String,
    pub body: Value,
}

impl Api {
    /// One that answers everything with "hello", with these further keys of `api`.
    pub async fn start(keys: &str) -> Api {
        Api::with(Config::answering("hello"), keys).await
    }

    /// One with this configuration, and these further keys of `api`.
    pub async fn with(config: Config, keys: &str) -> Api {
        let [address] = free_addresses();
        let edge = Edge::start(&config.api(address, keys)).await;
        Api { edge, address }
    }

    /// The answer to a request on a connection of its own. A Host is added where none is given.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Reply::of(&ask_at(self.address, method, path, headers, body))
    }

    /// What is at a path, which must be there.
    pub fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, &[], "");
        assert_eq!(reply.status(), 200, "{reply:?}");
        reply.body
    }

    /// Makes a target group without targets; returns its id.
    pub fn group(&self) -> Value {
        self.group_of(&[])
    }

    /// Makes a target group of these targets, which checks nothing; returns its id.
    pub fn group_of(&self, targets: &[SocketAddr]) -> Value {
        let body = json!({"properties": {
            "name": "group", "algorithm": "ROUND_ROBIN", "protocol": "HTTP",
            "targets": self::targets(targets),
        }});
        self.made(GROUPS, &body)["id"].clone()
    }

    /// Makes a balancer whose addresses are those of the tests; returns its path.
    pub fn balancer(&self) -> String {
        let body = json!({"properties": {
            "name": "balancer", "listenerLan": 1, "targetLan": 2, "ips": ["127.0.0.1"],
        }});
        let path = format!("{DATACENTER}/applicationloadbalancers");
        let id = self.made(&path, &body)["id"].clone();
        format!("{path}/{}", id.as_str().unwrap())
    }

    /// Makes a forwarding rule in a balancer, which forwards everything to a group.
    pub fn post_rule(
        &self,
        balancer: &str,
        name: &str,
        listen: SocketAddr,
        group: &Value,
    ) -> Reply {
        let body = json!({"properties": {
            "name": name, "protocol": "HTTP",
            "listenerIp": listen.ip(), "listenerPort": listen.port(),
            "httpRules": [{"name": "all", "type": "FORWARD", "targetGroup": group}],
        }});
        let path = format!("{balancer}/forwardingrules");
        self.ask("POST", &path, &[], &body.to_string())
    }

    /// Makes a balancer with a forwarding rule on a free port, which forwards everything to a group.
    pub async fn rule(&self, group: &Value) -> Rule {
        let [address] = free_addresses();
        let balancer = self.balancer();
        let reply = self.post_rule(&balancer, "api rule", address, group);
        assert_eq!(reply.status(), 202, "{reply:?}");
        let id = reply.body["id"].as_str().unwrap();
        let path = format!("{balancer}/forwardingrules/{id}");
        Rule { address, path }
    }

    /// Changes some properties of what is at a path, which must be possible.
    pub fn patch(&self, path: &str, properties: &Value) -> Value {
        let reply = self.ask("PATCH", path, &[], &properties.to_string());
        assert_eq!(reply.status(), 202, "{reply:?}");
        reply.body
    }

    fn made(&self, path: &str, body: &Value) -> Value {
        let reply = self.ask("POST", path, &[], &body.to_string());
        assert_eq!(reply.status(), 202, "{reply:?}");
        reply.body
    }

    /// Makes a target group of this name.
    pub fn post_group(&self, name: &str) -> Reply {
        self.ask("POST", GROUPS, &[], &group(name))
    }
}

/// A forwarding rule of the API.
pub struct Rule {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its path.
    pub path: String,
}

impl Rule {
    /// The answer to a request on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        let mut client = Connection::open(self.address).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.send(request).await;
        client.answer().await
    }
}

/// Targets as the API has them, which are not checked.
pub fn targets(addresses: &[SocketAddr]) -> Value {
    let target = |address: &SocketAddr| json!({"ip": address.ip(), "port": address.port(), "healthCheckEnabled": false});
    addresses.iter().map(target).collect()
}

/// Where a group is.
pub fn group_path(id: &Value) -> String {
    format!("{GROUPS}/{}", id.as_str().unwrap())
}

impl Deref for Api {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

/// The body that makes a target group of this name.
pub fn group(name: &str) -> String {
    format!(
        "{{\"properties\": {{\"name\": \"{name}\", \"algorithm\": \"ROUND_ROBIN\", \
         \"protocol\": \"HTTP\"}}}}"
    )
}

impl Reply {
    /// One that is given whole.
    pub fn of(answer: &str) -> Reply {
        let (head, _) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        Reply {
            head: head.to_owned(),
            body: body_of(answer),
        }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// The value of a header, whatever its case; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// It has this status, in the shape that IONOS' clients read.
    #[track_caller]
    pub fn is_refused(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        assert_eq!(self.body["httpStatus"], status, "{self:?}");
        let message = &self.body["messages"][0];
        assert!(message["errorCode"].is_string(), "{self:?}");
        assert!(
            message["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
    }
}
