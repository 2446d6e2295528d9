//! What the process asks of its system: signals, the service manager, chance, whether peers are
//! still there, and open files, of which it keeps some for its operator.

pub mod daemon;
pub mod keepalive;
pub mod kept_sockets;
pub mod open_files;
pub mod owner;
pub mod random;
pub mod reserve;
pub mod signals;
pub mod systemd;
