//! The requests of cases, answered by the rules that the compiled form is lowered to: the same must
//! come of them as by the compiled form itself.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::super::lower::Lowerer;
use super::Compiled;
use super::request::Asked;
use crate::config::model::{
    Answer, Changes, Forward, ForwardingRule, HeaderChanges, NewPath, NewValue, Source,
};
use crate::config::objects::Others;
use crate::rules::{Action, Request, Response, Rules};

pub(super) fn lower(compiled: &Compiled) -> Others {
    Lowerer::default().lower(compiled, &|_| Source::default())
}

/// What comes of a request, in the words of `asked::ask`.
pub(super) fn ask(compiled: &Compiled, line: &str) -> String {
    let asked = Asked::parse(line);
    let lowered = lower(compiled);
    let mut rules = lowered.forwarding_rules.iter();
    let rule = rules.find(|rule| {
        let is_there = asked.address.is_none_or(|ip| rule.listen.ip() == ip);
        rule.listen.port() == asked.port && is_there
    });
    let Some(rule) = rule else {
        return "refused".to_owned();
    };
    let sizes: HashMap<&str, usize> = lowered
        .target_groups
        .iter()
        .map(|group| (group.name.as_str(), group.targets.len()))
        .collect();
    by_rules(rule, &asked, &sizes)
}

fn by_rules(rule: &Arc<ForwardingRule>, asked: &Asked, sizes: &HashMap<&str, usize>) -> String {
    assert!(rule.in_order);
    let rules = Rules::build_sorted(&rule.http_rules, |forward| Some(forward.clone())).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_str(&asked.host).unwrap());
    for (name, value) in &asked.headers {
        headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
    }
    let query = asked.query.as_ref().map(|query| format!("?{query}"));
    let target = format!("{}{}", asked.path, query.unwrap_or_default());
    let client = [127, 0, 0, 1].into();
    let request = Request::new(asked.method.as_str(), target.as_bytes(), &headers, client);
    let request = request.in_tls_for(asked.sni.as_deref().filter(|_| rule.tls.is_some()));
    let scheme = if rule.tls.is_some() { "https" } else { "http" };
    match rules.find(&request).map(|rule| &rule.action) {
        None => "404".to_owned(),
        Some(Action::Respond(Response::Static(answer))) => answer.status.as_u16().to_string(),
        Some(Action::Respond(Response::Redirect(redirect))) => {
            let location = redirect.location(&request, scheme).unwrap();
            without_query(redirect.status.as_u16(), &location)
        }
        Some(Action::Forward(forward)) => forwarded(forward, sizes, &request, scheme),
    }
}

fn without_query(status: u16, location: &str) -> String {
    let location = location.split('?').next().unwrap();
    format!("{status} {location}")
}

fn forwarded(
    forward: &Forward,
    sizes: &HashMap<&str, usize>,
    request: &Request,
    scheme: &'static str,
) -> String {
    assert!(forward.keeps_shares);
    let count = forward.target_groups.len() + forward.answers.len();
    let weight = |weight: u32| match count {
        1 => String::new(),
        _ => format!("*{weight}"),
    };
    let mut shares = Vec::new();
    for group in &forward.target_groups {
        let name = match sizes[group.name.as_str()] {
            0 => "503",
            _ => group.name.split(['/', ':']).nth(1).unwrap(),
        };
        let own = group.changes.as_deref().map_or(String::new(), changed);
        shares.push(format!("{name}{}{own}", weight(group.weight)));
    }
    for share in &forward.answers {
        match &share.answer {
            Answer::Status(status) => shares.push(format!("{status}{}", weight(share.weight))),
            Answer::Redirect(redirect) => {
                let action = crate::config::model::Action::Redirect(redirect.clone());
                let rule = crate::config::model::HttpRule {
                    name: "r".to_owned(),
                    conditions: Vec::new(),
                    action,
                };
                let rules = Rules::build_sorted(&[rule], |_| None::<()>).unwrap();
                let Action::Respond(Response::Redirect(redirect)) = &rules.at(0).unwrap().action
                else {
                    panic!("a redirect");
                };
                let location = redirect.location(request, scheme).unwrap();
                return without_query(redirect.status.as_u16(), &location);
            }
        }
    }
    format!("{}{}", shares.join(" "), changed(&forward.changes))
}

fn changed(changes: &Changes) -> String {
    let mut told = String::new();
    let sides = [
        ("", &changes.headers.request),
        ("answer-", &changes.headers.response),
    ];
    for (side, headers) in sides {
        let HeaderChanges { remove, set, add } = headers;
        for (what, pairs) in [("set", set), ("add", add)] {
            for (name, value) in pairs {
                let NewValue::Fixed(value) = value else {
                    panic!("{value:?}");
                };
                told += &format!(" {side}{what}({name}:{})", value.to_str().unwrap());
            }
        }
        for name in remove {
            told += &format!(" {side}remove({name})");
        }
    }
    if let Some(host) = &changes.rewrite.host {
        told += &format!(" host({})", host.to_str().unwrap());
    }
    match &changes.rewrite.path {
        Some(NewPath::Whole(path)) => told += &format!(" path({path})"),
        Some(NewPath::Prefix { after, .. }) => told += &format!(" prefix({after})"),
        None => {}
    }
    told
}
