//! `GET /api/v1/config`: what serves, and where each part of it comes from.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::View;

/// The objects of the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = Config)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parts {
    /// The file; null where there is none.
    path: Option<String>,
    /// In the order in which they serve.
    forwarding_rules: Vec<ConfiguredRule>,
    target_groups: Vec<ConfiguredGroup>,
}

#[derive(Serialize, ToSchema)]
struct ConfiguredRule {
    name: String,
    listen: String,
    /// `file`, or `api` and its path there.
    source: String,
}

#[derive(Serialize, ToSchema)]
struct ConfiguredGroup {
    name: String,
    /// How many targets it has; one with a name counts once.
    targets: usize,
    /// `file`, or `api` and its path there.
    source: String,
}

/// What serves, and where each part of it comes from.
#[utoipa::path(get, path = "/api/v1/config", responses((status = 200, body = Parts)))]
pub(super) async fn config(State(view): State<View>) -> Json<Parts> {
    let config = view.serving.config();
    let rules = config.forwarding_rules.iter().map(|rule| ConfiguredRule {
        name: rule.name.clone(),
        listen: rule.listen.to_string(),
        source: rule.source.to_string(),
    });
    let groups = config.target_groups.iter().map(|group| ConfiguredGroup {
        name: group.name.clone(),
        targets: group.targets.len() + group.named.len(),
        source: group.source.to_string(),
    });
    Json(Parts {
        path: view.serving.path().map(|path| path.display().to_string()),
        forwarding_rules: rules.collect(),
        target_groups: groups.collect(),
    })
}
