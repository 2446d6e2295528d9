//! `GET /api/v1/gateway`: the objects of the Gateway API, with their conditions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view::View;

/// The objects of the Gateway API of which something is told.
#[derive(Serialize, ToSchema)]
#[schema(as = GatewayObjects)]
#[serde(rename_all = "camelCase")]
pub(super) struct Objects {
    #[schema(value_type = String)]
    api_version: &'static str,
    #[schema(value_type = String)]
    kind: &'static str,
    /// Each with its `status`, as `kubectl get -o json` prints it.
    items: Vec<Value>,
    /// What could not be read, with file and line.
    problems: Vec<String>,
}

/// The objects of the Gateway API, with their conditions.
#[utoipa::path(get, path = "/api/v1/gateway", responses((status = 200, body = Objects)))]
pub(super) async fn gateway(State(view): State<View>) -> Json<Objects> {
    let shown = view.gateways.shown();
    Json(Objects {
        api_version: "v1",
        kind: "List",
        items: shown.objects(),
        problems: shown.problems.clone(),
    })
}
