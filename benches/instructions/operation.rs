//! What is counted, and how it is done once.

use std::io::{self, Write as _};

use clap::ValueEnum;

use crate::ends::{Ends, Script, echo, hear};
use crate::http2;
use crate::protocol::{self, Message};
use crate::tls;

/// Something that Culvert does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operation {
    /// A tunnel opened and closed.
    Handshake,
    /// A tunnel opened and closed in TLS, with a full handshake of it.
    TlsHandshake,
    /// A short message over an open tunnel, and back.
    Echo64,
    /// A longer one.
    Echo1k,
    /// A plain request on a kept connection.
    Request,
    /// The same without its line in the access log.
    UnloggedRequest,
    /// A plain request over HTTP/2, in TLS.
    Http2Request,
}

impl Operation {
    /// All, in the order in which one process does them: a handshake finds no kept connection to
    /// the target.
    pub(crate) const ALL: [Operation; 7] = [
        Operation::Handshake,
        Operation::TlsHandshake,
        Operation::Echo64,
        Operation::Echo1k,
        Operation::Request,
        Operation::UnloggedRequest,
        Operation::Http2Request,
    ];

    /// What its row is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Handshake => "tunnel opened and closed",
            Operation::TlsHandshake => "tunnel opened and closed in TLS",
            Operation::Echo64 => "echo of 64 B",
            Operation::Echo1k => "echo of 1 KiB",
            Operation::Request => "plain request",
            Operation::UnloggedRequest => "plain request without access log",
            Operation::Http2Request => "plain request over HTTP/2, in TLS",
        }
    }

    /// How often it is done while it is counted.
    pub(crate) fn times(self) -> usize {
        match self {
            Operation::TlsHandshake => 20,
            Operation::Echo64 | Operation::Echo1k => 200,
            _ => 100,
        }
    }

    /// Whether the access log is on.
    pub(crate) fn is_logged(self) -> bool {
        self != Operation::UnloggedRequest
    }

    /// Gets ready for it; what is returned does it once.
    pub(crate) fn script<'a>(self, ends: &'a Ends) -> io::Result<Script<'a>> {
        Ok(match self {
            Operation::Handshake => Box::new(|| ends.close(ends.open(ends.connect()?)?)),
            Operation::TlsHandshake => Box::new(|| {
                let tunnel = ends.open(ends.connect_in_tls(None)?)?;
                tls::check(&tunnel.0.conn)?;
                ends.close(tunnel)
            }),
            Operation::Echo64 => echoes(ends, 64)?,
            Operation::Echo1k => echoes(ends, 1 << 10)?,
            Operation::Request | Operation::UnloggedRequest => requests(ends)?,
            Operation::Http2Request => http2::requests(ends)?,
        })
    }
}

fn echoes(ends: &Ends, size: usize) -> io::Result<Script<'_>> {
    let (mut client, mut target) = ends.open(ends.connect()?)?;
    let mut message = Message::new(size);
    let mut stamp = 0;
    Ok(Box::new(move || {
        stamp += 1;
        client.write_all(message.frame(stamp))?;
        echo(&mut target)?;
        let expected = message.echo(stamp);
        let heard = hear(&mut client, |bytes| Ok(bytes.len() >= expected.len()))?;
        match heard == expected {
            true => Ok(()),
            false => Err(io::Error::other("the echo is not what was sent")),
        }
    }))
}

fn requests(ends: &Ends) -> io::Result<Script<'_>> {
    let mut client = ends.connect()?;
    Ok(Box::new(move || {
        client.write_all(protocol::REQUEST)?;
        ends.answer_a_request()?;
        hear(&mut client, protocol::is_answer).map(drop)
    }))
}
