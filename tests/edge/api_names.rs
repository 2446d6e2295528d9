//! Targets by name in the API's groups, on a node whose file has no rules.

use serde_json::json;

use crate::harness::api::{Api, GROUPS};
use crate::harness::dns::{Dns, Records};
use crate::harness::{Config, Target, soon};

fn addresses(target: &Target) -> Records {
    Records::Addresses(vec![target.address.ip()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_follow_their_name_where_the_file_has_no_rules() {
    let one = Target::named("one").await;
    let port = one.address.port();
    let other = Target::named_at(([127, 0, 0, 2], port).into(), "other").await;
    let dns = Dns::start(addresses(&one), 1).await;
    let resolver = format!("{{nameServers: [\"{}\"], timeout: 300ms}}", dns.address);
    let config = Config::new().top("forwardingRules: []");
    let config = config.server(&format!("resolver: {resolver}"));
    let api = Api::with(config, "").await;
    let id = api.group();
    let path = format!("{GROUPS}/{}", id.as_str().unwrap());
    api.patch(
        &path,
        &json!({"targets": [{"host": "chat.internal", "port": port, "healthCheckEnabled": false}]}),
    );
    let rule = api.rule(&id).await;
    assert_eq!(rule.get("/").await.text(), "one");
    dns.change(addresses(&other));
    let is_followed = async { while rule.get("/").await.text() != "other" {} };
    soon("the answers of the other address", is_followed).await;
}
