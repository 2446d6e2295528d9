//! Who asks: whoever has the token, or a name and its password.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use crate::config::model::{Api, User};
use crate::control::Rejection;
use crate::control::guard::{credentials, is_token};

/// The name of whoever has the token.
const TOKEN: &str = "token";
/// The name of everybody, where nobody needs to say who they are.
const ANYBODY: &str = "anonymous";

/// The name of whoever asks.
///
/// Errors: 401.
pub(super) fn identify(api: &Api, headers: &HeaderMap) -> Result<String, Rejection> {
    if api.token.is_none() && api.users.is_empty() {
        return Ok(ANYBODY.to_owned());
    }
    let denied = |why| Rejection::new(StatusCode::UNAUTHORIZED, why);
    if !headers.contains_key(AUTHORIZATION) {
        return Err(denied(
            "credentials are needed: Authorization: Bearer or Basic",
        ));
    }
    if let Some(given) = credentials(headers, "Bearer") {
        let is_known = api
            .token
            .as_ref()
            .is_some_and(|token| is_token(given, token));
        let name = is_known.then(|| TOKEN.to_owned());
        return name.ok_or_else(|| denied("the token is not valid"));
    }
    let given = credentials(headers, "Basic").and_then(|given| STANDARD.decode(given).ok());
    let user = given.and_then(|given| user(&api.users, &given));
    user.ok_or_else(|| denied("the user's name or password is not valid"))
}

/// The name of the user whose `name:password` this is. All are looked at, so that the time that it
/// takes does not tell who is there.
fn user(users: &[User], given: &[u8]) -> Option<String> {
    let colon = given.iter().position(|byte| *byte == b':')?;
    let (name, password) = (&given[..colon], &given[colon + 1..]);
    let mut found = None;
    for user in users {
        let is_name = user.name.as_bytes().ct_eq(name);
        let is_it = is_name & user.password.as_bytes().ct_eq(password);
        if is_it.into() {
            found = Some(user);
        }
    }
    found.map(|user| user.name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identified(api: &Api, authorization: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        }
        let found = identify(api, &headers);
        found.map_err(|denied| assert_eq!(denied.status, 401)).ok()
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn api(token: bool, users: &[(&str, &str)]) -> Api {
        let text = "{api: {listen: 'unix:/a', store: {type: FILE, path: /b}}}";
        let mut api = crate::config::parse("a", text).unwrap().config.api.unwrap();
        api.token = token.then(|| crate::config::model::Token("0123456789abcdef".into()));
        let user = |(name, password): &(&str, &str)| User {
            name: (*name).into(),
            password: (*password).into(),
        };
        api.users = users.iter().map(user).collect();
        api
    }

    #[test]
    fn whoever_asks_is_the_token_or_a_user_by_name_and_password() {
        let users = [("ann", "one"), ("bob", "two:three")];
        let both = api(true, &users);
        for (given, expected) in [
            ("Bearer 0123456789abcdef".to_owned(), Some("token")),
            ("bearer 0123456789abcdef".to_owned(), Some("token")),
            ("Bearer 0123456789abcdeF".to_owned(), None),
            ("Bearer ".to_owned(), None),
            (basic("ann:one"), Some("ann")),
            (basic("bob:two:three"), Some("bob")),
            (basic("ann:two"), None),
            (basic("ann:"), None),
            (basic("ann"), None),
            (basic(":"), None),
            (basic("cid:one"), None),
            ("Basic ann:one".to_owned(), None),
            ("Digest x".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(identified(&both, &given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn what_is_not_configured_lets_nobody_in_and_nothing_at_all_everybody() {
        assert_eq!(identified(&api(true, &[]), &basic("ann:one")), None);
        let users = api(false, &[("ann", "one")]);
        assert_eq!(identified(&users, "Bearer 0123456789abcdef"), None);
        let open = api(false, &[]);
        for given in ["", "Bearer x", "Basic x"] {
            assert_eq!(identified(&open, given).as_deref(), Some("anonymous"));
        }
    }
}
