//! What stands in an answer of the API.

use serde_json::Value;

use crate::cli::Reached;

/// The answer as it is asked for.
pub(super) fn shown(
    reached: &Reached,
    answer: &Value,
    show: impl FnOnce(&Value) -> String,
) -> String {
    match reached.json {
        true => format!("{answer:#}"),
        false => show(answer),
    }
}

/// What is at a place in an answer, as text; nothing where it is absent.
pub(super) fn text(answer: &Value, pointer: &str) -> String {
    match answer.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// What is in the list at a place in an answer.
pub(super) fn list<'a>(answer: &'a Value, pointer: &str) -> &'a [Value] {
    let list = answer.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}
