//! What a configuration file may say of the pages that may open tunnels.

/// An entry of `allowedOrigins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `null`: of pages that have none to tell.
    Null,
    /// `https://*`: of all hosts.
    Any {
        /// The scheme.
        scheme: String,
        /// The port, unless it is the scheme's own.
        port: Option<u16>,
    },
    /// `https://app.example.com`, or `https://*.example.com` for all hosts below that one.
    Of {
        /// The scheme.
        scheme: String,
        /// The host, or the one above all that are meant.
        host: String,
        /// The port, unless it is the scheme's own.
        port: Option<u16>,
        /// Whether those below the host are meant, and not the host itself.
        is_above: bool,
    },
}
