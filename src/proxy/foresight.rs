//! What would become of a request: the same steps that one takes, without a connection, and without leaving a trace.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::refusal::Refusal;
use super::scheme::{self, X_FORWARDED_PROTO};
use super::{choice, forwarded, handshake, hearsay};
use crate::forwarding_rule::{ForwardingRule, Routes};
use crate::rules::{Action, Request, Response, Rule};
use crate::target_address::TargetAddress;
use crate::telemetry::Client;

/// What would become of a request.
pub struct Foresight<'a> {
    /// The request, as conditions see it.
    pub request: Request<'a>,
    /// How it would come: `http` or `https`.
    scheme: &'static str,
    /// The HTTP rule that decides.
    pub rule: Option<&'a Rule<Routes>>,
    /// Where the client is sent to.
    pub location: Option<String>,
    /// Whether it is a WebSocket handshake that is forwarded.
    pub is_handshake: bool,
    /// To which protocol, where it is another upgrade that is forwarded.
    pub upgrade: Option<Arc<str>>,
    /// Which target group it would go to.
    pub target_group: Option<Arc<str>>,
    /// Which target it would go to.
    pub target: Option<TargetAddress>,
    /// The answer, where it would be refused.
    pub refusal: Option<Refusal>,
}

impl<'a> Foresight<'a> {
    /// What would become of a request for `target` with this head, from this peer. The limits of clients are not looked at.
    pub fn of(
        forwarding_rule: &'a ForwardingRule,
        head: &'a mut Parts,
        target: &'a [u8],
        peer: Client,
    ) -> Self {
        let is_from_proxy = forwarding_rule.trusted.contain(peer.ip);
        for name in hearsay::dropped(&head.headers, forwarding_rule, is_from_proxy) {
            head.headers.remove(name);
        }
        let (client, proxies) = forwarded::client(&head.headers, peer, &forwarding_rule.trusted);
        let scheme = scheme::of(&head.headers, proxies, forwarding_rule.tls.is_some());
        let told = HeaderValue::from_static(scheme);
        head.headers.insert(X_FORWARDED_PROTO, told);
        let head = &*head;
        let request = Request::new(head.method.as_str(), target, &head.headers, client.ip);
        let rule = forwarding_rule.rules.find(&request);
        let mut foresight = Foresight {
            rule,
            request,
            scheme,
            location: None,
            is_handshake: false,
            upgrade: None,
            target_group: None,
            target: None,
            refusal: None,
        };
        foresight.refusal = foresight.meet(head).err();
        foresight
    }

    fn meet(&mut self, head: &Parts) -> Result<(), Refusal> {
        let rule = self.rule.ok_or(Refusal::NO_MATCHING_RULE)?;
        match &rule.action {
            Action::Respond(Response::Static(_)) => {}
            Action::Respond(Response::Redirect(redirect)) => {
                let location = redirect.location(&self.request, self.scheme);
                self.location = Some(location.ok_or(Refusal::NO_LOCATION)?);
            }
            Action::Forward(routes) => {
                let route = choice::route(routes, &self.request).ok_or(Refusal::NO_TARGET)?;
                self.target_group = Some(Arc::clone(&route.group.name));
                self.is_handshake = handshake::is_handshake(head, route.lenient_handshake)?;
                let upgrade = handshake::other_upgrade(head, &route.upgrades);
                self.upgrade = upgrade.filter(|_| !self.is_handshake);
                let context = choice::context(&route.group, &self.request);
                let target = route.group.foresee(&context)?;
                self.target = Some(target.address.clone());
            }
        }
        Ok(())
    }
}
