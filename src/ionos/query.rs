//! What a client says about the answer in the query: how deep it goes, which part of a collection
//! it is, and what is left out of it.

use serde_json::{Map, Value};

use super::error::{ApiError, INVALID};
use super::kind::Kind;

/// How an answer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// How deep what is inside is shown.
    pub depth: u8,
    /// How many of a collection are passed over.
    pub offset: usize,
    /// How many of a collection are shown, where anybody says.
    pub limit: Option<usize>,
    /// The property to order a collection by.
    pub order_by: Option<String>,
    /// Properties and what they must contain, in any case.
    pub filters: Vec<(String, String)>,
}

impl Query {
    /// What these pairs say; whatever else is there is passed over.
    ///
    /// Errors: a depth, an offset or a limit that is none.
    pub(super) fn of<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ApiError> {
        let mut query = Query {
            depth: 0,
            offset: 0,
            limit: None,
            order_by: None,
            filters: Vec::new(),
        };
        for (name, value) in pairs {
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "depth" => query.depth = number(&name, value, 0, 10)?,
                "offset" => query.offset = number(&name, value, 0, u32::MAX as usize)?,
                "limit" => query.limit = Some(number(&name, value, 1, u32::MAX as usize)?),
                "orderby" | "order-by" if !value.is_empty() => {
                    query.order_by = Some(value.to_ascii_lowercase());
                }
                _ => {
                    if let Some(property) = name.strip_prefix("filter.") {
                        query
                            .filters
                            .push((property.to_owned(), value.to_lowercase()));
                    }
                }
            }
        }
        Ok(query)
    }

    /// How many of a collection of this kind are shown.
    pub(super) fn limit_of(&self, kind: Kind) -> usize {
        let (usual, most) = kind.page();
        self.limit.unwrap_or(usual).min(most)
    }

    /// Whether an object with these properties is not left out. A filter on what its kind has not
    /// is passed over.
    pub(super) fn takes(
        &self,
        known: impl Fn(&str) -> bool,
        properties: &Map<String, Value>,
    ) -> bool {
        self.filters.iter().all(|(name, wanted)| {
            let found = property(properties, name);
            match found {
                None => !known(name),
                Some(value) => wanted.split(',').any(|wanted| text(value).contains(wanted)),
            }
        })
    }

    /// Brings what was found in order, if anybody wants one.
    pub(super) fn sort<T>(&self, found: &mut [T], properties: impl Fn(&T) -> &Map<String, Value>) {
        let Some(name) = &self.order_by else { return };
        found.sort_by_cached_key(|one| property(properties(one), name).map(sortable));
    }
}

/// Numbers by their size, anything else as text.
fn sortable(value: &Value) -> (Option<i64>, String) {
    (value.as_i64(), text(value))
}

fn property<'p>(properties: &'p Map<String, Value>, name: &str) -> Option<&'p Value> {
    let mut all = properties.iter();
    all.find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// What a filter looks for, in lower case.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_lowercase(),
        other => other.to_string().to_lowercase(),
    }
}

fn number<T>(name: &str, value: &str, least: usize, most: usize) -> Result<T, ApiError>
where
    T: TryFrom<usize>,
{
    let number = value
        .parse::<usize>()
        .ok()
        .filter(|number| (least..=most).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| {
            let message = format!("{name} must be a number from {least} to {most}, not {value:?}");
            ApiError::new(400, INVALID, message)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(pairs: &[(&'static str, &'static str)]) -> Result<Query, ApiError> {
        Query::of(pairs.iter().copied())
    }

    #[test]
    fn names_are_read_in_any_case_and_what_is_not_known_is_passed_over() {
        let query = query(&[
            ("depth", "5"),
            ("pretty", "true"),
            ("offset", "3"),
            ("limit", "50"),
            ("order-by", "Name"),
            ("filter.listenerLan", "1"),
            ("contractNumber", "7"),
        ]);
        let filters = vec![("listenerlan".to_owned(), "1".to_owned())];
        let expected = Query {
            depth: 5,
            offset: 3,
            limit: Some(50),
            order_by: Some("name".into()),
            filters,
        };
        assert_eq!(query, Ok(expected.clone()));
        assert_eq!(expected.limit_of(Kind::TargetGroup), 50);
        let all = Query {
            limit: Some(20_000),
            ..expected
        };
        assert_eq!(all.limit_of(Kind::TargetGroup), 200);
        assert_eq!(all.limit_of(Kind::Balancer), 10_000);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for pair in [
            ("depth", "11"),
            ("depth", "-1"),
            ("limit", "0"),
            ("offset", "x"),
            ("depth", ""),
        ] {
            let refusal = query(&[pair]).unwrap_err();
            assert_eq!(refusal.status, 400, "{pair:?}");
        }
    }

    #[test]
    fn a_filter_takes_what_contains_one_of_its_values() {
        let properties = json!({"name": "Web West", "listenerLan": 12, "public": true});
        let properties = properties.as_object().unwrap();
        let is_known =
            |name: &str| ["name", "listenerlan", "public", "description"].contains(&name);
        for (name, value, expected) in [
            ("filter.name", "west", true),
            ("filter.NAME", "WEB", true),
            ("filter.name", "east", false),
            ("filter.name", "east,west", true),
            ("filter.listenerlan", "12", true),
            ("filter.public", "true", true),
            ("filter.description", "a", false),
            ("filter.other", "a", true),
        ] {
            let query = query(&[(name, value)]).unwrap();
            assert_eq!(
                query.takes(is_known, properties),
                expected,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn a_collection_is_ordered_by_a_property() {
        let found = [
            json!({"name": "b", "n": 10}),
            json!({"name": "A", "n": 9}),
            json!({"n": 1}),
        ];
        let sorted = |by| {
            let query = query(&[("orderBy", by)]).unwrap();
            let mut found: Vec<_> = found.iter().map(|one| one.as_object().unwrap()).collect();
            query.sort(&mut found, |one| one);
            found
                .iter()
                .map(|one| one["n"].as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(sorted("name"), [1, 9, 10]);
        assert_eq!(sorted("N"), [1, 9, 10]);
    }
}
