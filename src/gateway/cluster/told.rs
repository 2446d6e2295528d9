//! What an error of the client comes to, in words.

use kube::Error;
use kube::runtime::watcher;

/// The status with which the server has answered, if it has.
pub(super) fn status_of(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(Error::Api(status))
        | watcher::Error::WatchStartFailed(Error::Api(status))
        | watcher::Error::WatchFailed(Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Why a watch has failed, in one line.
pub(super) fn why(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => format!("{} ({})", status.message, status.code),
        watcher::Error::NoResourceVersion => told(error),
    }
}

/// An error in one line, with its causes.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let one = match error.downcast_ref::<Error>() {
            Some(Error::Api(status)) => format!("{} ({})", status.message, status.code),
            _ => error.to_string(),
        };
        // Some say what their causes say, too.
        if !text.ends_with(&one) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{one}");
        }
        next = error
            .source()
            .filter(|_| !matches!(error.downcast_ref(), Some(Error::Api(_))));
    }
    text
}
