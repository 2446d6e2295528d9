//! What a reload makes of the control addresses. Whether there is an API is settled at the start of
//! the process.

use std::time::Duration;

use tokio::time::timeout;

use super::Serving;
use super::sockets::NewControl;
use crate::config::Config;
use crate::listener::control::ControlListener;

/// How long those at the control addresses may take to go when these are left.
const GOING: Duration = Duration::from_secs(3);

impl Serving {
    /// Returns when those who had come to the control addresses before these were left are gone, or
    /// after a moment.
    pub async fn is_deserted(&self) {
        let gone = async {
            for listener in self.control() {
                listener.is_deserted().await;
            }
        };
        if timeout(GOING, gone).await.is_err() {
            log::debug!("some at the control addresses have yet to go");
        }
    }

    /// Has the control addresses where this configuration says; the sockets are those that are new.
    pub(super) fn move_control(&self, config: &Config, admin: NewControl, api: NewControl) {
        change(&self.admin, admin, "admin.mode", config.admin.mode);
        if let Some((listener, settings)) = self.api.as_ref().zip(config.api.as_ref()) {
            change(listener, api, "api.mode", settings.mode);
        }
    }
}

fn change(listener: &ControlListener, new: NewControl, key: &str, mode: u32) {
    if let Some((address, socket)) = new {
        listener.change(address, socket);
    } else if let Err(error) = listener.set_mode(mode) {
        log::error!("reload: {key}: {error}");
    }
}
