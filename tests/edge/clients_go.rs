//! IONOS' Go SDK drives Culvert, in the order of calls of ionosctl and of IONOS' Terraform
//! provider: see `tests/clients/go`, which `make test-clients` builds.

use tokio::process::Command;

use crate::harness::soon;
use crate::harness::story::{TOKEN, nothing, start_with};

/// What the program that has the tests says on its standard output.
async fn said(arguments: &[&str], variables: &[(&str, String)]) -> (bool, String) {
    let program = std::env::var_os("CULVERT_TEST_GO").expect("run `make test-clients`");
    let mut go = Command::new(program);
    go.args(arguments).envs(variables.iter().cloned());
    let output = soon("the end of a test in Go", go.output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), said)
}

#[tokio::test]
#[ignore = "needs Go: `make test-clients`"]
async fn each_test_in_go_passes_against_a_culvert_of_its_own() {
    let (_, tests) = said(&["-test.list", "."], &[]).await;
    let tests: Vec<&str> = tests.lines().collect();
    assert!(tests.len() > 10, "{tests:?}");
    for test in tests {
        let (api, _token) = start_with(nothing(), "addresses: [203.0.113.0/28]").await;
        let variables = [
            ("IONOS_API_URL", format!("http://{}", api.address)),
            ("IONOS_TOKEN", TOKEN.to_owned()),
            ("LISTENER_PORT", api.edge.address.port().to_string()),
        ];
        let only = format!("^{test}$");
        let (passes, said) = said(&["-test.v", "-test.run", &only], &variables).await;
        let has_run = said.contains(&format!("--- PASS: {test}"));
        assert!(passes && has_run, "{said}");
    }
}
