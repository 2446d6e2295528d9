//! `PATCH /api/v1/targetgroups/{name}/targets/{target}`: what an operator decides about a target
//! until the next reload.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::view::View;
use crate::config::model;
use crate::listener::control::Peer;
use crate::serving::Serving;
use crate::target_address::TargetAddress;
use crate::target_group::{Change, Override, TargetGroup, TargetStatus};

const MOST_WEIGHT: u16 = 256;

/// A target, as it is with what is decided about it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    /// `ip:port`, or `unix:PATH`
    address: String,
    /// The name that the address comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(flatten)]
    status: Option<TargetStatus>,
    health_check: HealthCheck,
    /// Whether it takes nothing new.
    maintenance: bool,
    /// Whether its tunnels are being ended as well.
    drain: bool,
    weight: u16,
    /// Tunnels of this process.
    open_tunnels: i64,
    /// What differs from the configuration file, until the next reload.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    decided: Option<Decided>,
}

/// The health checks of a target.
#[derive(Serialize, ToSchema)]
struct HealthCheck {
    enabled: bool,
    /// How many have passed.
    passed: u64,
    /// How many have failed.
    failed: u64,
}

/// What was decided by `PATCH`.
#[derive(Serialize, ToSchema)]
struct Decided {
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
}

/// What to decide. What is absent stays as it is; null goes back to the configuration file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Patch {
    /// true: it takes nothing new. false ends a drain as well.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    maintenance: Option<Option<bool>>,
    /// true: it takes nothing new, and its tunnels are ended, spread over `server.drain.deadline`.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    drain: Option<Option<bool>>,
    /// 0 to 256; 0 takes nothing new.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u16>)]
    weight: Option<Option<u16>>,
    /// Must not be true: what lasts is in the configuration file.
    persist: bool,
}

/// Tells null from absent.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Patch {
    fn change(self) -> Result<Change, Denial> {
        let refused = |why| Err(Denial::bad(why));
        if self.persist {
            return refused("persist: is not supported; what lasts is in the configuration file");
        }
        if self
            .weight
            .flatten()
            .is_some_and(|weight| weight > MOST_WEIGHT)
        {
            return refused("weight: must be an integer from 0 to 256");
        }
        if self.maintenance == Some(Some(false)) && self.drain == Some(Some(true)) {
            return refused("drain: true needs maintenance, which is false");
        }
        let change = Change {
            maintenance: self.maintenance,
            drain: self.drain,
            weight: self.weight,
        };
        match change == Change::default() {
            true => refused("maintenance, drain or weight is needed"),
            false => Ok(change),
        }
    }
}

/// Decides about a target, until the next reload of the configuration. An upgrade ends it as well.
#[utoipa::path(
    patch,
    path = "/api/v1/targetgroups/{name}/targets/{target}",
    params(
        ("name" = String, Path, description = "The target group's name."),
        (
            "target" = String,
            Path,
            description = "`ip:port`, or `unix:PATH` with its slashes encoded (`%2F`)",
        ),
    ),
    request_body = Patch,
    responses(
        (status = 200, description = "As the target is now.", body = Target),
        (status = 400, body = Error),
        (status = 404, body = Error),
    ),
)]
pub(super) async fn patch(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    Path((group, target)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Target>, Denial> {
    let patch: Patch =
        serde_json::from_slice(&body).map_err(|error| Denial::bad(error.to_string()))?;
    let change = patch.change()?;
    let none = || Denial::not_found(format!("there is no target {target:?} in {group:?}"));
    let address: TargetAddress = target.parse().map_err(|_| none())?;
    match view.serving.decide(&group, &address, change) {
        Ok(true) => log::info!("admin: {peer}: target group {group:?}: target {address}: {change}"),
        Ok(false) => return Err(none()),
        Err(fault) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(Denial::new(status, fault.to_string()));
        }
    }
    // A reload may just have taken it away.
    find(&view.serving, &group, &address)
        .map(Json)
        .ok_or_else(none)
}

fn find(serving: &Serving, name: &str, address: &TargetAddress) -> Option<Target> {
    let overrides = serving.overrides();
    let group = overrides.applied_to(&serving.target_group(name)?);
    let target = group
        .targets
        .iter()
        .find(|target| target.address == *address)?;
    let snapshot = serving.snapshot();
    let built = snapshot.groups.iter().find(|built| *built.name == *name);
    let names = serving.names_of(name);
    let open = names.iter();
    let open = open.map(|name| serving.metrics.open_tunnels_to(name, address));
    let open = open.sum();
    Some(Target::of(target, built, overrides.of(name, address), open))
}

impl Target {
    /// A target: as it is configured with the overrides, as it was built, and how many tunnels it
    /// has.
    pub(super) fn of(
        target: &model::Target,
        group: Option<&Arc<TargetGroup>>,
        decided: Option<Override>,
        open_tunnels: i64,
    ) -> Self {
        let built = group.and_then(|group| group.target(&target.address));
        let checks = built.map(|built| &built.metrics);
        Target {
            address: target.address.to_string(),
            host: target.host.as_deref().map(str::to_owned),
            status: built
                .map(|built| TargetStatus::of(built, usize::try_from(open_tunnels).unwrap_or(0))),
            health_check: HealthCheck {
                enabled: target.health_check_enabled,
                passed: checks.map_or(0, |checks| checks.checks_passed.get()),
                failed: checks.map_or(0, |checks| checks.checks_failed.get()),
            },
            maintenance: target.maintenance_enabled,
            drain: target.maintenance_enabled && target.maintenance_drain,
            weight: target.weight,
            open_tunnels,
            decided: decided.map(|decided| Decided {
                maintenance: decided.maintenance,
                drain: decided.drain,
                weight: decided.weight,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(body: &str) -> Option<Change> {
        let patch: Patch = serde_json::from_str(body).ok()?;
        patch.change().ok()
    }

    #[test]
    fn null_is_not_absent() {
        let nothing = Change::default();
        let expected = Change {
            maintenance: Some(None),
            weight: Some(Some(256)),
            ..nothing
        };
        let found = change("{\"maintenance\": null, \"weight\": 256, \"persist\": false}");
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for body in [
            "{}",
            "",
            "[]",
            "{\"weight\": 257}",
            "{\"weight\": -1}",
            "{\"weight\": \"1\"}",
            "{\"drained\": true}",
            "{\"drain\": true, \"persist\": true}",
            "{\"drain\": true, \"maintenance\": false}",
        ] {
            assert_eq!(change(body), None, "{body}");
        }
    }
}
