//! Why a connection in TLS cannot go on, and what its peer is told of that.

use std::{fmt, io};

use rustls::AlertDescription;

/// What a peer did that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A record is longer than the protocol allows.
    TooLong,
    /// A record was not sealed with the connection's key, or something has changed it.
    BadTag,
    /// A message came that has no place there.
    Unexpected,
    /// Record after record came without data.
    Fruitless,
    /// A message is not formed as its type is.
    Malformed,
    /// A message has a value that it cannot have.
    IllegalValue,
    /// A record has the version of another protocol.
    OtherVersion,
    /// No more records may have these keys.
    UsedUp,
    /// The peer has said why it ends the connection.
    Told(AlertDescription),
}

impl Fault {
    /// What the peer is told (RFC 8446 section 6.2); nothing if it is the one that has told us.
    pub(super) fn alert(self) -> Option<AlertDescription> {
        Some(match self {
            Fault::TooLong => AlertDescription::RecordOverflow,
            Fault::BadTag => AlertDescription::BadRecordMac,
            Fault::Unexpected | Fault::Fruitless => AlertDescription::UnexpectedMessage,
            Fault::Malformed => AlertDescription::DecodeError,
            Fault::IllegalValue => AlertDescription::IllegalParameter,
            Fault::OtherVersion => AlertDescription::ProtocolVersion,
            Fault::UsedUp => AlertDescription::InternalError,
            Fault::Told(_) => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS: ")?;
        f.write_str(match self {
            Fault::TooLong => "a record is too long",
            Fault::BadTag => "a record cannot be decrypted",
            Fault::Unexpected => "a message came that has no place there",
            Fault::Fruitless => "too many records without data came in a row",
            Fault::Malformed => "a message is malformed",
            Fault::IllegalValue => "a message has an illegal value",
            Fault::OtherVersion => "a record is of another version",
            Fault::UsedUp => "no more records may have these keys",
            Fault::Told(alert) => return write!(f, "received fatal alert: {alert:?}"),
        })
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}
