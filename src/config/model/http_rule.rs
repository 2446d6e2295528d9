//! An entry of `httpRules`: to whom it applies and what it does.

use std::time::Duration;

use super::{AllowedOrigin, Changes, Condition, Cors, Mirror, Redirect, Tunnel};

/// An entry of `httpRules`.
#[derive(Debug, Clone)]
pub struct HttpRule {
    /// `name`: unique within the forwarding rule.
    pub name: String,
    /// `conditions`: all must hold; none means always.
    pub conditions: Vec<Condition>,
    /// `type` and what belongs to it.
    pub action: Action,
}

/// What an HTTP rule does with a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// `FORWARD`
    Forward(Forward),
    /// `REDIRECT`
    Redirect(Redirect),
    /// `STATIC`
    Static {
        /// `statusCode`: 200 to 599. Default: 503.
        status_code: u16,
        /// `responseMessage`: the body. Empty where the status allows none.
        response_message: String,
        /// `contentType`: visible ASCII and spaces. Default: `text/plain; charset=utf-8`.
        content_type: String,
    },
}

/// What a `FORWARD` rule says.
#[derive(Debug, Clone)]
pub struct Forward {
    /// `targetGroup`, or `targetGroups`: at least one; in a file no two of the same name.
    pub target_groups: Vec<WeightedGroup>,
    /// Entries of `targetGroups` that are answered here. Default: none.
    pub answers: Vec<WeightedAnswer>,
    /// Whether a group that serves nobody keeps its share, and does not leave it to the others. A
    /// file cannot say so.
    pub keeps_shares: bool,
    /// `tunnel`; what it does not say is as in the forwarding rule.
    pub tunnel: Box<Tunnel>,
    /// `allowedOrigins`: whose pages may open tunnels, at least one. Default: anybody's.
    pub allowed_origins: Option<Vec<AllowedOrigin>>,
    /// `allowedSubprotocols`: which subprotocols a handshake may ask for, tokens, at least one.
    /// Default: any.
    pub allowed_subprotocols: Option<Vec<String>>,
    /// `checkAccept`: whether a 101 must fit to its handshake. Default: over HTTP/2 it must, and
    /// over HTTP/1.1 the client looks itself.
    pub check_accept: Option<bool>,
    /// `lenientHandshake`: whether a handshake's key may be something else than 16 bytes. Default:
    /// false.
    pub lenient_handshake: bool,
    /// `upgrades`: to which other protocols than WebSocket a connection may be upgraded, compared
    /// without case. Default: none.
    pub upgrades: Vec<String>,

    /// `requestTimeout`: from the request to the end of its answer, all tries included; of a tunnel
    /// to its 101. Default: none.
    pub request_timeout: Option<Duration>,
    /// `attemptTimeout`: the same for one try. Default: none.
    pub attempt_timeout: Option<Duration>,
    /// `retry`: for which answers a request is sent again. Default: none.
    pub retry: Option<Retry>,
    /// `cors`: which pages of other sites may read answers. Default: the targets say so.
    pub cors: Option<Box<Cors>>,
    /// `mirrors`: where copies of plain requests go; in a file no group twice. Default: nowhere.
    pub mirrors: Vec<Mirror>,
    /// `headers` and `rewrite`: what is changed on the way. Default: nothing.
    pub changes: Box<Changes>,
}

/// `retry`: when a request is sent again for its answer, whatever its method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// `statusCodes`: 400 to 599, at least one.
    pub status_codes: Vec<u16>,
    /// `attempts`: how many times, 1 to 10. Default: 1.
    pub attempts: u32,
    /// `backoff`: after which pause, at most 1 min. Default: at once.
    pub backoff: Duration,
}

/// An entry of `targetGroups` of a `FORWARD` rule.
#[derive(Debug, Clone)]
pub struct WeightedGroup {
    /// `name`: of one that exists.
    pub name: String,
    /// `weight`: 0 to 1000 in a file. Default: 1.
    pub weight: u32,
    /// `headers` and `rewrite`: what is changed after what the rule changes. Default: nothing.
    pub changes: Option<Box<Changes>>,
    /// What comes in the place of the rule's `cors`. A file cannot say so.
    pub cors: Option<Box<Cors>>,
    /// Where copies go beside those of the rule. A file cannot say so.
    pub mirrors: Vec<Mirror>,
}

/// A share that goes to no target.
#[derive(Debug, Clone)]
pub struct WeightedAnswer {
    /// What is answered.
    pub answer: Answer,
    /// `weight`: as of a group.
    pub weight: u32,
}

/// What a share is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// `statusCode`: 200 to 599, without a body.
    Status(u16),
    /// A file cannot say so.
    Redirect(Redirect),
}

impl WeightedGroup {
    /// The only one.
    pub fn whole(name: &str) -> Self {
        WeightedGroup {
            name: name.to_owned(),
            weight: 1,
            changes: None,
            cors: None,
            mirrors: Vec::new(),
        }
    }
}

impl Forward {
    /// The names of all target groups that requests, or copies of them, may go to.
    pub fn all_groups(&self) -> impl Iterator<Item = &str> {
        let groups = self.target_groups.iter().map(|group| group.name.as_str());
        let own = self.target_groups.iter().flat_map(|group| &group.mirrors);
        let mirrors = self.mirrors.iter().chain(own);
        groups.chain(mirrors.map(|mirror| mirror.target_group.as_str()))
    }

    /// Whether requests may go to this target group.
    pub fn leads_to(&self, name: &str) -> bool {
        self.target_groups.iter().any(|group| group.name == name)
    }

    /// To this target group; the rest is as without a word.
    pub fn to(target_group: &str) -> Self {
        Forward {
            target_groups: vec![WeightedGroup::whole(target_group)],
            answers: Vec::new(),
            keeps_shares: false,
            tunnel: Box::default(),
            allowed_origins: None,
            allowed_subprotocols: None,
            check_accept: None,
            lenient_handshake: false,
            upgrades: Vec::new(),

            request_timeout: None,
            attempt_timeout: None,
            retry: None,
            cors: None,
            mirrors: Vec::new(),
            changes: Box::default(),
        }
    }
}
