//! Passive health: targets that fail requests in a row are ejected for a while
//! (`outlierDetection`).
//!
//! A failure is a connection that could not be had, one that ended before an answer, an answer that
//! did not come in time, one of 5xx, and to a WebSocket handshake one that is no HTTP. Everything
//! else is a success, and begins the count anew.

use crate::target_group::{Target, TargetGroup};

impl TargetGroup {
    /// Notes that a target has failed a request.
    pub fn failed(&self, target: &Target) {
        let Some(detection) = &self.outlier_detection else {
            return;
        };
        let count = target.state.health.failed();
        // One that may not be ejected now may be the next time.
        if count.is_multiple_of(detection.consecutive_failures) {
            self.monitor.eject(target, detection);
        }
    }

    /// Notes that a target has answered a request.
    pub fn succeeded(&self, target: &Target) {
        if self.outlier_detection.is_some() {
            target.state.health.succeeded();
        }
    }
}
