//! Origins of the filter CORS.

use super::objects::Cors;
use crate::config::model::AllowedOrigin;
use crate::config::origin::Origin;

/// Whose pages are meant; `None` is everybody's.
///
/// Errors: an entry that cannot be told apart here.
pub(super) fn allowed(cors: &Cors) -> Result<Option<Vec<AllowedOrigin>>, String> {
    if cors.origins.iter().any(|origin| origin == "*") {
        return Ok(None);
    }
    let origins = cors.origins.iter().map(|text| origin(text));
    let origins: Result<Vec<_>, _> = origins.collect();
    origins.map(Some)
}

fn origin(text: &str) -> Result<AllowedOrigin, String> {
    if text == "null" {
        return Ok(AllowedOrigin::Null);
    }
    let bare = text.replacen("://*.", "://", 1);
    let parsed = Origin::parse(&bare).filter(|_| !bare.contains('*'));
    let parsed = parsed.ok_or_else(|| format!("cors.allowOrigins: {text} is not supported"))?;
    Ok(AllowedOrigin::Of {
        scheme: parsed.scheme.to_ascii_lowercase(),
        host: parsed.host.to_ascii_lowercase(),
        port: parsed.port,
        is_above: bare.len() != text.len(),
    })
}
