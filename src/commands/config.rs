//! `culvert config`.

use serde_json::Value;

use super::answer::{list, text};
use super::table::Table;

/// What serves, and where each part of it comes from.
pub(super) fn show(answer: &Value) -> String {
    let mut rules = Table::new(&["RULE", "LISTEN", "SOURCE"]);
    for rule in list(answer, "/forwardingRules") {
        rules.row([
            text(rule, "/name"),
            text(rule, "/listen"),
            text(rule, "/source"),
        ]);
    }
    let mut groups = Table::new(&["GROUP", "TARGETS", "SOURCE"]);
    for group in list(answer, "/targetGroups") {
        groups.row([
            text(group, "/name"),
            text(group, "/targets"),
            text(group, "/source"),
        ]);
    }
    format!("{}\n\n{}", rules.text(), groups.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_is_shown_with_its_source() {
        let shown = show(&json!({
            "forwardingRules": [{"name": "edge", "listen": "0.0.0.0:80", "source": "file"}],
            "targetGroups": [{"name": "chat", "targets": 2, "source": "api /targetgroups/1"}],
        }));
        let expected = "RULE  LISTEN      SOURCE\nedge  0.0.0.0:80  file\n\n\
                        GROUP  TARGETS  SOURCE\nchat   2        api /targetgroups/1";
        assert_eq!(shown, expected);
    }
}
