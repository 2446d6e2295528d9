//! From a connection that has just been accepted to one that is served.

use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;

use super::Connection;
use super::arrival::{Arrival, Way};

impl Arrival {
    /// Finds out whose it is, and serves it to its end.
    pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
        self,
        mut stream: TcpStream,
        app: Arc<A>,
        shutdown: ShutdownWatch,
    ) {
        let rule = self.rule.load_full();
        let Some(proxied) = self.proxied(&mut stream, &rule).await else {
            return;
        };
        let way = Way::of(self.peer, proxied, &stream, &rule);
        let Some(arrival) = self.seat(way.counted, &rule) else {
            return;
        };
        let connection = Connection::new(arrival, way);
        drop(rule);
        connection.serve(stream, app, shutdown).await;
    }
}
