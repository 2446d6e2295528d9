//! The API against what schemathesis makes of its own description: whatever is asked, it is no
//! fault of the API's.

use std::process::Command;

use serde_json::Value;

use crate::harness::api::{Api, BASE};

#[tokio::test]
async fn the_description_has_a_path_for_every_kind() {
    let api = Api::start("").await;
    let document = api.get(&format!("{BASE}/openapi.json"));
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/targetgroups",
        "/requests/{requestId}/status",
        "/ipblocks/{ipBlockId}",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    // What is described as a read can be read, where it needs no id.
    for (path, operations) in paths {
        if operations.get("get").is_some_and(Value::is_object) && !path.contains('{') {
            api.get(&format!("{BASE}{path}"));
        }
    }
}

#[tokio::test]
#[ignore = "takes ten minutes and needs schemathesis: `make fuzz-api`"]
async fn nothing_that_the_description_allows_or_forbids_is_a_fault_of_the_api() {
    let program = std::env::var_os("CULVERT_TEST_SCHEMATHESIS").expect("run `make fuzz-api`");
    let seconds = std::env::var("CULVERT_TEST_SECONDS").unwrap_or("600".to_owned());
    let api = Api::start("").await;
    let url = format!("http://{}{BASE}", api.address);
    let output = Command::new(program)
        .args(["run", &format!("{url}/openapi.json"), "--url", &url])
        .args(["--max-time", &seconds, "--checks", "not_a_server_error"])
        .args(["--rate-limit", "400/s", "--no-color"])
        .current_dir(api.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(api.edge.get("/").await.text(), "hello");
    assert_eq!(api.errors_about("api"), 0, "{}", api.diagnostics());
}
