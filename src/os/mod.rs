//! What the process asks of its system: signals, the service manager, and open files, of which it keeps some for its operator.

pub mod daemon;
pub mod open_files;
pub mod reserve;
pub mod signals;
pub mod systemd;
