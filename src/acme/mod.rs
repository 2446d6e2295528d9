//! Certificates that are issued by an ACME directory (RFC 8555), and renewed in time.
//!
//! What is issued is kept in a folder, and served because it has changed there, like any other
//! certificate (`config::renewal`): nothing here knows who serves. While a name is shown to be ours
//! [`Challenges`] has what those are answered with who ask, on any listener; [`Renewals`] tells how
//! far each certificate is. Both are there in a build without the feature `acme`, and empty.
//!
//! Several processes may share a folder, those of one node or of several: who has the lock of a
//! certificate renews it, and tokens are files there.

#[cfg(not(feature = "acme"))]
mod absent;
#[cfg(feature = "acme")]
mod account;
#[cfg(feature = "acme")]
mod answers;
#[cfg(feature = "acme")]
mod attempt;
mod challenges;
#[cfg(feature = "acme")]
mod client;
#[cfg(feature = "acme")]
mod command;
#[cfg(feature = "acme")]
mod folder;
#[cfg(feature = "acme")]
mod keeper;
mod peers;
#[cfg(feature = "acme")]
mod record;
mod renewals;
#[cfg(feature = "acme")]
mod schedule;
#[cfg(feature = "acme")]
mod tend;

#[cfg(not(feature = "acme"))]
pub use absent::Keeper;
pub use challenges::{Challenges, PROTOCOL};
#[cfg(feature = "acme")]
pub use keeper::Keeper;
pub use peers::MARK;
pub use renewals::{Progress, Renewals, State};
