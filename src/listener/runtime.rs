//! The threads that serve connections.

use std::io;

use tokio::runtime::{Builder, Handle};

/// The threads that serve connections, for as long as the process lives. They are ours because of
/// one setting: a thread with more than 256 tasks to run keeps the others in a queue that it looks
/// into now and then; at the usual one time in 61 the tunnels in there wait far longer than the
/// rest.
pub(super) fn start(threads: usize) -> io::Result<Handle> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("connections")
        .global_queue_interval(2)
        .enable_all()
        .build()?;
    Ok(Box::leak(Box::new(runtime)).handle().clone())
}
