//! `GET /api/v1/history`: the last fifteen minutes, and what takes samples of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::history::{EVERY, KEPT};
use super::query::{self, SinceQuery};
use super::sample::{Counted, Errors, Open, Sample};
use super::traffic::Traffic;
use super::view::View;
use crate::forwarding_rule::ForwardingRule;

/// How many groups have a line of their own.
const GROUPS: usize = 8;

/// What happened lately.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lately {
    /// How far samples are apart.
    every_seconds: u64,
    /// How many are kept at most.
    kept: usize,
    /// The oldest first.
    samples: Vec<Sample>,
}

/// What happened in the last fifteen minutes, in steps of five seconds.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    params(SinceQuery),
    responses((status = 200, body = Lately), (status = 400, body = Error)),
)]
pub(super) async fn history(State(view): State<View>, uri: Uri) -> Result<Json<Lately>, Denial> {
    let (number, time) = query::since(&uri)?.after(view.history.count());
    Ok(Json(Lately {
        every_seconds: EVERY.as_secs(),
        kept: KEPT,
        samples: view.history.since(number, time),
    }))
}

/// Takes a sample every five seconds, for as long as the process lives.
pub(super) async fn keep(view: View) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        view.history.take(count(&view));
    }
}

fn count(view: &View) -> Counted {
    let serving = &view.serving;
    let totals = serving.metrics.totals();
    let traffic = Traffic::of(view, &totals);
    let rules = serving.snapshot().rules;
    Counted {
        moment: Instant::now(),
        at: SystemTime::now(),
        tunnels: serving.drain.tunnels.count(),
        groups: groups(view),
        opened: traffic.opened,
        handshakes: serving.metrics.handshakes(),
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
        errors: rules.iter().flat_map(|rule| errors(rule)).collect(),
        memory_bytes: serving.overload.state().used,
        totals,
    }
}

/// The groups with the most tunnels.
fn groups(view: &View) -> Vec<Open> {
    let mut open: BTreeMap<String, i64> = BTreeMap::new();
    for child in view.serving.metrics.open_tunnels() {
        *open.entry(child.target_group).or_default() += child.tunnels;
    }
    let open = open.into_iter();
    let mut groups: Vec<Open> = open.map(|(name, tunnels)| Open { name, tunnels }).collect();
    groups.sort_by_key(|open| Reverse(open.tunnels));
    groups.truncate(GROUPS);
    groups
}

/// The errors of its HTTP rules, and of none.
fn errors(rule: &ForwardingRule) -> Errors {
    let of_rules = rule.rules.iter().map(|http_rule| {
        let counters = rule.http_rule(http_rule.index);
        let errors = counters.map_or(0, |counters| counters.server_errors());
        (&*http_rule.name, errors)
    });
    let all = of_rules.chain([("", rule.metrics.unmatched_errors())]);
    all.filter(|(_, errors)| *errors > 0)
        .map(|(http_rule, errors)| ((rule.name.to_string(), http_rule.to_owned()), errors))
        .collect()
}
