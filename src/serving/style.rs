//! What the configuration says of the lines of the access log.

use std::sync::Arc;

use crate::config::{Config, model};
use crate::telemetry::{Format, LoggedHeaders, Redaction, Style};

/// What holds for all lines.
pub(super) fn style(config: &Config) -> Style {
    let log = &config.access_log;
    Style {
        node: Arc::clone(&config.server.name),
        format: match log.format {
            model::LogFormat::Json => Format::Json,
            model::LogFormat::Text => Format::Text,
        },
        redaction: Redaction::with(log.redact_query_keys.iter().map(String::as_str)),
        sample: log.sample,
        open_records: log.open_records,
        headers: logged_headers(&log.headers),
        traces: config.tracing.traceparent,
    }
}

fn logged_headers(headers: &model::LoggedHeaders) -> Option<Box<LoggedHeaders>> {
    let is_some = *headers != model::LoggedHeaders::default();
    is_some.then(|| {
        Box::new(LoggedHeaders {
            request: headers.request.clone(),
            response: headers.response.clone(),
        })
    })
}
