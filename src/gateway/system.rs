//! Whom the system of this node trusts.

use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use serde_json::json;

use crate::config::model::Source;
use crate::config::objects;

/// Nobody where it knows none. It is read once, as the configuration reads it.
pub(super) static SYSTEM: LazyLock<Option<Arc<RootCertStore>>> = LazyLock::new(|| {
    let value = json!({"name": "x", "algorithm": "ROUND_ROBIN", "protocol": "HTTPS"});
    let read = objects::target_group(&value, "", Source::default(), &[]).ok()?;
    read.object.tls.map(|tls| tls.roots)
});

/// Whether the system trusts anybody.
pub(super) fn trusts_system() -> bool {
    SYSTEM.is_some()
}
