//! What a reload makes of the API's objects: they are read again with the file.

use serde_json::{Value, json};

use crate::harness::api::{Api, GROUPS};
use crate::harness::{Config, eventually};

#[tokio::test]
async fn a_reload_reads_the_objects_of_the_api_again() {
    let api = Api::start("").await;
    let check = json!({"matchType": "STATUS_CODE", "response": "200"});
    let group = json!({"properties": {
        "name": "chat", "algorithm": "RANDOM", "protocol": "HTTP", "httpHealthCheck": check,
    }});
    let made = api.ask("POST", GROUPS, &[], &group.to_string());
    let id = &made.body["id"];
    let rule = api.rule(id).await;
    let upgrade = |key: &str, value: &str| json!({"type": "HEADER", "condition": "EQUALS", "key": key, "value": value});
    let conditions = [
        upgrade("Connection", "upgrade"),
        upgrade("Upgrade", "websocket"),
    ];
    let forward =
        json!([{"name": "ws", "type": "FORWARD", "targetGroup": id, "conditions": conditions}]);
    api.patch(&rule.path, &json!({"httpRules": forward}));
    let path = format!("{GROUPS}/{}", id.as_str().unwrap());
    let says = |what: &str| {
        let warnings = api.get(&path)["metadata"]["warnings"].clone();
        let all = warnings.as_array().cloned().unwrap_or_default();
        all.iter()
            .filter_map(Value::as_str)
            .any(|one| one.contains(what))
    };
    assert!(says("is unavailable"));
    let converting = Config::answering("hello").api(api.address, "webSocketChecks: convert");
    api.edge.reload(&converting).await;
    let is_converted = || says("it is acted on as a TCP check").then_some(());
    eventually("the check is converted", is_converted).await;
    assert!(!says("is unavailable"));
}

#[tokio::test]
async fn a_group_of_the_file_with_the_name_of_one_of_the_api_is_told_with_both_places() {
    let api = Api::start("").await;
    let id = api.group();
    let more = Config::answering("hello").api(api.address, "");
    api.edge.configure(&more.add_group("group"));
    let said = crate::harness::admin::post(&api, "/api/v1/reload", &json!({}));
    let problem = said["problems"][0].as_str().unwrap();
    let id = id.as_str().unwrap();
    let expected = format!(
        "targetGroups[0] \"group\": another target group has this name: api /targetgroups/{id}"
    );
    assert!(problem.ends_with(&expected), "{problem}");
}
