//! The target's side, as Pingora sees it: a connection of HTTP/1.1, whatever the target speaks.

mod http1;
mod http2;

pub use http1::Purpose;
pub(crate) use http1::TargetTap;
pub(crate) use http2::Http2Tap;
