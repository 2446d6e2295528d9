//! What answers say to pages of other sites. Where the rule says it, the target does not.

use http::HeaderMap;
use http::header::VARY;
use pingora::Result;
use pingora::http::ResponseHeader;

use crate::rules::{CORS_HEADERS, Cors, Told};

/// On what the answer to a preflight depends.
const OF_PREFLIGHT: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// Says in a target's answer what the page may do that has asked with these headers.
pub(super) fn of_answer(cors: &Cors, asked: &HeaderMap, answer: &mut ResponseHeader) -> Result<()> {
    if answer.status.is_informational() {
        return Ok(());
    }
    for name in &CORS_HEADERS {
        answer.remove_header(name);
    }
    for (name, value) in cors.answer(asked) {
        answer.insert_header(name, value)?;
    }
    answer.append_header(VARY, "Origin").map(drop)
}

/// Says in the answer to a preflight what the page may do.
pub(super) fn tell_preflight(told: Told, answer: &mut ResponseHeader) -> Result<()> {
    for (name, value) in told {
        answer.insert_header(name, value)?;
    }
    answer.insert_header(VARY, OF_PREFLIGHT)
}
