//! A target that takes its time.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Connection, Target};

/// The head of its answers.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";

/// A target that begins its answers at once, as far as this goes, and ends them when it is told to.
pub struct Waiting {
    pub target: Target,
    /// Told of each request.
    pub asked: Arc<Notify>,
    /// Tells it to go on.
    pub answer: Arc<Notify>,
}

impl Waiting {
    /// One whose answers begin with this much of theirs, the text "late" behind [`HEAD`].
    pub async fn after(beginning: &'static str) -> Self {
        let (asked, answer) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (ask, answered) = (Arc::clone(&asked), Arc::clone(&answer));
        let whole = format!("{HEAD}late");
        let target = Target::scripted(move |mut connection: Connection| {
            let (ask, answered) = (Arc::clone(&ask), Arc::clone(&answered));
            let rest = whole[beginning.len()..].to_owned();
            async move {
                while connection.has_more().await {
                    let head = connection.head().await;
                    connection.body(&head).await;
                    connection.send(beginning).await;
                    ask.notify_one();
                    answered.notified().await;
                    connection.send(&rest).await;
                }
            }
        })
        .await;
        Waiting {
            target,
            asked,
            answer,
        }
    }
}
