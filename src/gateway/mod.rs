//! Gateway API: objects in, what serves and what is told of each object out.
//!
//! ```text
//! files ▸ manifests ┐
//!                   ├▸ objects ▸ store ▸ compile ▸ compiled ▸ lower ▸ config::model
//! a cluster ────────┘                        └───▸ statuses
//! ```
//!
//! All of it is plain values: no sockets, no clock but as an argument, and no files but in
//! `manifests` and `cache`; only `cluster`, and `gateways`, which has it served, have more to do
//! with the process. An object is read by itself and leniently; what is wrong with it is kept in it
//! and told in its conditions, and changes nothing but what depends on it. The compiler is a
//! function of the objects: in whatever order they come, the same comes of them.
//!
//! ```text
//! objects        the kinds, as they are read, with their flaws
//! store          objects by kind and name
//! manifests      documents of files
//! clashes        objects whose names the configuration has, which are left aside
//! compile        the whole way, and what is remembered between two of them
//! addresses      which Gateway has which address
//! listeners      which listeners serve, with which certificates
//! attach         which route belongs to which listener, for which hosts
//! backends       where references to Services lead; grants, tls_policies, health, own_policies
//! routes         what the rules of a route come to
//! precedence     the order of the matches of a listener
//! endpoints      addresses of Pods, apart from the rest
//! compiled       what comes of it
//! lower          the same in the words of the configuration
//! tell, statuses conditions, and the same as `lines`; notes where an object has none
//! crds           what a cluster has to know of the policies
//! maker          all of it at once: from objects to what stands beside the configuration file's
//! news, held     what a cluster was heard to have, and how much a change of it concerns
//! references     which Secrets and ConfigMaps are to be read at all
//! cache          the same in a file, for a start while no API server answers
//! cluster        follows an API server, keeps leases, writes statuses
//! source, state  a cluster, with what was taken from it; what was made and told last
//! report         what a node says of itself
//! gateways       has all of it serve, again whenever something has changed
//! ```

mod addresses;
mod attach;
mod backends;
mod cache;
mod certificates;
mod clashes;
#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(not(feature = "kubernetes"))]
#[path = "no_cluster.rs"]
mod cluster;
mod compile;
pub mod compiled;
pub mod crds;
mod endpoints;
mod former;
mod gateways;
mod grants;
mod health;
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "of a cluster"))]
mod held;
mod lines;
mod listeners;
pub mod lower;
mod maker;
pub mod manifests;
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "of a cluster"))]
mod news;
pub mod notes;
pub mod objects;
mod own_policies;
mod precedence;
mod references;
#[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "of a cluster"))]
mod report;
mod routes;
mod secrets;
mod source;
mod state;
pub mod statuses;
pub mod store;
mod support;
mod system;
mod tell;
mod tls_policies;
mod world;

pub use compile::{Compiler, Settings};
pub use compiled::Compiled;
pub use gateways::Gateways;
pub use lines::Line;
pub use lower::Lowerer;
pub use maker::{Listen, Made, Maker};
pub use state::{Shown, State, offline, open, unreadable};
pub use statuses::Statuses;
pub use store::Store;
pub use tell::FEATURES;

#[cfg(test)]
mod cases;
