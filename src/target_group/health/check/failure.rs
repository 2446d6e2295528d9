//! Why a check did not pass: a few words without anything of the target's in them that could break
//! a line of the log.

use std::io;

use rustix::io::Errno;

use crate::os::open_files;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 120;

/// Why a check did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::target_group::health) enum Failure {
    /// This process or machine has run out of something: nothing is known of the target.
    Shortage,
    /// The target failed, and how.
    Because(String),
}

impl Failure {
    pub(super) fn because(words: impl Into<String>) -> Self {
        let words: String = words.into();
        let plain = words.chars().map(|c| if c.is_control() { ' ' } else { c });
        Failure::Because(plain.take(LONGEST_REASON).collect())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_out_of_ports = Errno::from_io_error(&error) == Some(Errno::ADDRNOTAVAIL);
        if is_out_of_ports || open_files::is_short(&error) {
            return Failure::Shortage;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::because("connection refused"),
            io::ErrorKind::ConnectionReset => Failure::because("connection reset"),
            io::ErrorKind::UnexpectedEof => Failure::because("the connection was closed"),
            io::ErrorKind::TimedOut => Failure::because("connecting timed out"),
            io::ErrorKind::HostUnreachable => Failure::because("host unreachable"),
            io::ErrorKind::NetworkUnreachable => Failure::because("network unreachable"),
            _ => Failure::because(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_on_one_line() {
        let Failure::Because(words) = Failure::because(format!("a\nb\u{1b}[1m{}", "x".repeat(999)))
        else {
            panic!("no reason");
        };
        assert_eq!(words.len(), LONGEST_REASON);
        assert!(words.starts_with("a b [1mxxx"), "{words}");
    }

    #[test]
    fn want_of_files_or_ports_is_not_the_targets_fault() {
        let failure = |errno: rustix::io::Errno| Failure::from(io::Error::from(errno));
        assert_eq!(failure(rustix::io::Errno::MFILE), Failure::Shortage);
        assert_eq!(failure(rustix::io::Errno::ADDRNOTAVAIL), Failure::Shortage);
        let refused = Failure::Because("connection refused".to_owned());
        assert_eq!(failure(rustix::io::Errno::CONNREFUSED), refused);
    }
}
