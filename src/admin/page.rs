//! `GET /`: the status page, one document with its style and its script.
//!
//! It holds no data: all that it shows it asks the API for, with the token where there is one. The
//! policy lets it run nothing but this script, and talk to nobody but this address.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

const DOCUMENT: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
/// One module: its parts share their names, and the last one starts it.
const SCRIPT: &str = concat!(
    include_str!("page/format.js"),
    include_str!("page/elements.js"),
    include_str!("page/api.js"),
    include_str!("page/dialogs.js"),
    include_str!("page/charts.js"),
    include_str!("page/overview.js"),
    include_str!("page/vitals.js"),
    include_str!("page/targets.js"),
    include_str!("page/rules.js"),
    include_str!("page/refusals.js"),
    include_str!("page/tunnels.js"),
    include_str!("page/main.js"),
);

/// The page, and what it may do.
struct Page {
    html: String,
    policy: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
    html: DOCUMENT
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT),
    policy: format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    ),
});

/// How a policy names what may stand in a page.
fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
}

pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE.policy.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE.html.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_names_nothing_outside() {
        let html = &PAGE.html;
        assert!(!html.contains("{{"));
        assert!(html.contains(&format!("<style>{STYLE}</style>")));
        assert!(html.contains(&format!("<script type=\"module\">{SCRIPT}</script>")));
        for word in ["src=", "@import", "url(", "innerHTML", "import("] {
            assert!(!html.contains(word), "{word}");
        }
        let links = html.matches("http://").chain(html.matches("https://"));
        let is_name = html.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(links.count(), is_name);
    }
}
