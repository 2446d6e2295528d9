//! Which lines the access log has, and how they are written.

use std::sync::Arc;

use http::HeaderName;

use super::{Format, Redaction};

/// What holds for all lines.
#[derive(Debug)]
pub struct Style {
    /// What this node is called; empty where lines do not say it.
    pub node: Arc<str>,
    /// How fields are written.
    pub format: Format,
    /// What is kept out.
    pub redaction: Redaction,
    /// How many of the plain exchanges that went well have a line: 0 to 1.
    pub sample: f64,
    /// Whether a tunnel has a line when it opens, too.
    pub open_records: bool,
    /// Which headers lines repeat; `None` where there are none.
    pub headers: Option<Box<LoggedHeaders>>,
    /// Whether a request without a traceparent gets one, which is in its line.
    pub traces: bool,
}

/// The names of the headers that lines repeat.
#[derive(Debug, Default)]
pub struct LoggedHeaders {
    /// Of requests.
    pub request: Vec<HeaderName>,
    /// Of answers.
    pub response: Vec<HeaderName>,
}

impl Default for Style {
    fn default() -> Self {
        Style {
            node: "".into(),
            format: Format::Json,
            redaction: Redaction::default(),
            sample: 1.0,
            open_records: false,
            headers: None,
            traces: false,
        }
    }
}

impl Style {
    /// Whether something with this id has a line: all but some of what went well. The id is the
    /// chance.
    pub fn wants(&self, went_well: bool, id: &str) -> bool {
        !went_well || self.sample >= 1.0 || chance(id) < self.sample
    }
}

impl Style {
    /// The node's name, where lines say it.
    pub(super) fn node(&self) -> Option<&str> {
        Some(&*self.node).filter(|node| !node.is_empty())
    }
}

/// A number from 0 up to, but not, 1: the first bits of a random id. 0 where there is none.
fn chance(id: &str) -> f64 {
    let bits = id
        .get(..8)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
    f64::from(bits.unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::{CloseReason, Record};
    use super::*;

    fn record(status: Option<u16>, upgraded: bool, id: &str) -> Record {
        let client = std::net::SocketAddr::from(([192, 0, 2, 1], 80));
        let mut record = Record::begin("edge".into(), client.into());
        (record.status, record.upgraded) = (status, upgraded);
        record.tracking_id = id.into();
        record
    }

    #[test]
    fn what_went_wrong_and_tunnels_are_never_sampled_away() {
        use CloseReason::{ClientClosed, ClientError, Completed, Refused};
        const FIRST: &str = "00000000ffffffffffffffffffffffff";
        const HALF: &str = "80000000000000000000000000000000";
        const LAST: &str = "ffffffff000000000000000000000000";
        for (sample, status, upgraded, id, reason, expected) in [
            (1.0, Some(200), false, LAST, Completed, true),
            (0.0, Some(200), false, FIRST, Completed, false),
            (0.5, Some(200), false, FIRST, Completed, true),
            (0.5, Some(302), false, HALF, Completed, false),
            (0.6, Some(302), false, HALF, Completed, true),
            (0.0, Some(400), false, LAST, Completed, true),
            (0.0, Some(200), false, LAST, ClientError, true),
            (0.0, Some(503), false, LAST, Refused, true),
            (0.0, Some(101), true, LAST, ClientClosed, true),
            (0.0, None, false, "", Completed, true),
        ] {
            let style = Style {
                sample,
                ..Style::default()
            };
            let record = record(status, upgraded, id);
            let wanted = style.wants(record.went_well(reason), &record.tracking_id);
            assert_eq!(wanted, expected, "{sample} of {status:?} {id} {reason:?}");
        }
    }
}
