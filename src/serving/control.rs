//! What a reload makes of the control addresses. Whether there is an API is settled at the start of
//! the process.

use super::Serving;
use super::sockets::NewControl;
use crate::config::Config;
use crate::listener::control::ControlListener;

impl Serving {
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
