//! `admin`: the address for operators.

use std::fmt;

use super::ListenAddress;

/// `admin`
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`. Default: 127.0.0.1:9900.
    pub listen: ListenAddress,
    /// `mode`: who may use a Unix socket. Default: 0660.
    pub mode: u32,
    /// `tokenFile`: what a caller has to know. There is one where `listen` is no loopback address.
    /// Default: nothing.
    pub token: Option<Token>,
    /// `readOnly`: nothing can be changed. Default: false.
    pub read_only: bool,
    /// `hostNames`: by which names it is called, beside its addresses; in lower case. Default:
    /// none.
    pub host_names: Vec<String>,
}

/// A secret: visible ASCII characters. It does not show in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Box<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
