//! What holds where the Gateway API has no word: the defaults of the file, read once as it reads
//! them.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::json;

use crate::config::model::{ForwardingRule, Source, TargetGroup};
use crate::config::objects;

/// A target group of which nothing is said.
pub(super) static GROUP: LazyLock<TargetGroup> = LazyLock::new(|| {
    let value = json!({"name": "x", "algorithm": "ROUND_ROBIN", "protocol": "HTTP"});
    let read = objects::target_group(&value, "", Source::default(), &[]);
    read.expect("a group with all that is required").object
});

/// A forwarding rule of which nothing is said.
pub(super) static RULE: LazyLock<ForwardingRule> = LazyLock::new(|| {
    let value = json!({
        "name": "x", "protocol": "HTTP", "listenerIp": "127.0.0.1", "listenerPort": 1,
        "httpRules": [],
    });
    let none = HashSet::new();
    let read = objects::forwarding_rule(&value, "", Source::default(), &none, &none);
    read.expect("a rule with all that is required").object
});
