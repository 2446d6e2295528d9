//! A Culvert with the IONOS API, and requests to it.

use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::Value;

use super::admin::ask_at;
use super::client::{header, status};
use super::edge::{body_of, free_addresses};
use super::{Config, Edge};

/// What the paths of the API begin with.
pub const BASE: &str = "/cloudapi/v6";
/// Where target groups are.
pub const GROUPS: &str = "/cloudapi/v6/targetgroups";

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

    /// Makes a target group of this name.
    pub fn post_group(&self, name: &str) -> Reply {
        self.ask("POST", GROUPS, &[], &group(name))
    }
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
