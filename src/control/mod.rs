//! What the control addresses have in common, that for operators (`admin`) and that of the API
//! (`ionos`): few connections, none of them in the way of another, TLS, and what a request must be
//! like before it is looked at.
//!
//! Which requests there are, and who may make them, is left to those two.

mod bodies;
pub mod guard;
mod rejection;
mod serve;
mod slots;

pub use bodies::{Bodies, Whole};
pub use rejection::Rejection;
pub use serve::{Server, Shows};
pub use slots::{Client, MOST_CONNECTIONS, Slots};
