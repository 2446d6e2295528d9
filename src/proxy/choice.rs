//! What of a request decides which target it goes to.

use crate::config::file::HashKey;
use crate::rules::Request;
use crate::target_group::{Asker, TargetGroup};

/// Who asks this group for a target with this request.
pub(super) fn asker(group: &TargetGroup, request: &Request<'_>) -> Asker<'static> {
    Asker {
        hash: group.hash(request.client_ip(), |key| value(request, key)),
        sticky: told(group, request),
        ..Asker::default()
    }
}

/// The place of the target that the request's cookie tells.
fn told(group: &TargetGroup, request: &Request<'_>) -> Option<usize> {
    let name = group.cookie_name()?;
    let mut values = request.cookies(name.as_bytes());
    values.find_map(|value| group.told_by(value))
}

fn value<'r>(request: &Request<'r>, key: &HashKey) -> Option<&'r [u8]> {
    match key {
        HashKey::Header(name) => request.header_lines(name).next(),
        HashKey::Cookie(name) => request.cookies(name.as_bytes()).next(),
        HashKey::Query(name) => request.parameters(name.as_bytes()).next(),
    }
}
