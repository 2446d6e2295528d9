//! The relay: one small task for each tunnel, which moves bytes between two sockets until both
//! directions are over, or until it is frozen.
//!
//! It holds no buffer while nothing is in flight: bytes are read into a buffer of the thread, and
//! only what the receiver does not take is kept. Whatever ends the relay, also a panic or the end
//! of the runtime, drops it, and dropping it reports the tunnel's end, once.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime;

use super::frozen::Frozen;
use super::handle::{Handle, Stay};
use super::on_end::OnEnd;
use super::registry::Tunnels;
use super::state::{Rules, State};
use crate::stream::{ClientStream, End, FrozenStream, TargetStream};
use crate::telemetry::CloseReason;

const SCRATCH: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

pub(super) struct Relay {
    /// `None` once it is frozen.
    running: Option<Running>,
    tunnels: Arc<Tunnels>,
}

struct Running {
    client: ClientStream,
    target: TargetStream,
    state: State,
}

impl Relay {
    pub(super) fn new(
        handle: Arc<Handle>,
        tunnels: Arc<Tunnels>,
        rules: &Rules,
        client: End<ClientStream>,
        target: End<TargetStream>,
        on_end: OnEnd,
    ) -> Self {
        let entry = tunnels.open(&handle);
        let timer_wheel = Arc::clone(&tunnels.timer_wheel);
        let early = [client.early, target.early];
        Relay {
            running: Some(Running {
                client: client.stream,
                target: target.stream,
                state: State::new(handle, timer_wheel, rules, early, on_end, entry),
            }),
            tunnels,
        }
    }

    /// Goes on with a tunnel that was frozen, on the present runtime. If it cannot, it has ended.
    fn thaw(
        (client, target): (FrozenStream, FrozenStream),
        mut state: State,
        tunnels: Arc<Tunnels>,
    ) -> Option<Self> {
        match (ClientStream::thaw(client), TargetStream::thaw(target)) {
            (Ok(client), Ok(target)) => {
                let running = Running {
                    client,
                    target,
                    state,
                };
                return Some(Relay {
                    running: Some(running),
                    tunnels,
                });
            }
            (Err(error), _) => state.broke_on_the_way(CloseReason::ClientError, &error),
            (_, Err(error)) => state.broke_on_the_way(CloseReason::TargetError, &error),
        }
        None
    }

    /// Freezes it for whoever has asked for that, if it can be frozen now; tells whether it is.
    fn freeze(&mut self) -> bool {
        let asker = self
            .running
            .as_ref()
            .and_then(|running| self.tunnels.asker(&running.state.handle));
        let Some(asker) = asker.filter(|asker| !asker.is_closed()) else {
            return false;
        };
        let Some(mut running) = self.running.take_if(|running| running.can_freeze()) else {
            if let Some(running) = &self.running {
                let is_over = running.state.is_over();
                let stays = if is_over { Stay::Closing } else { Stay::Tls };
                running.state.handle.note_stays(stays);
            }
            return false;
        };
        let streams = (running.client.freeze(), running.target.freeze());
        match streams {
            (Ok(client), Ok(target)) => {
                let token = self.tunnels.tasks.token();
                let frozen = Frozen::new(client, target, running.state, token);
                // Dropping it reports an end from outside.
                asker.send(Box::new(frozen)).ok();
            }
            (Err(error), _) => running
                .state
                .broke_on_the_way(CloseReason::ClientError, &error),
            (_, Err(error)) => running
                .state
                .broke_on_the_way(CloseReason::TargetError, &error),
        }
        true
    }
}

impl Tunnels {
    /// Goes on with a tunnel that was frozen, on this runtime.
    pub fn thaw(self: &Arc<Self>, frozen: Frozen, runtime: &runtime::Handle) {
        let _entered = runtime.enter();
        let (client, target, state, token) = frozen.into_parts();
        if let Some(relay) = Relay::thaw((client, target), state, Arc::clone(self)) {
            self.tasks.spawn_on(relay, runtime);
        }
        drop(token);
    }
}

impl Running {
    /// Whether all of it can be taken off its runtime. One that has come to its end is not.
    fn can_freeze(&mut self) -> bool {
        !self.state.is_over() && self.client.can_freeze() && self.target.can_freeze()
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        self.client.say_goodbye(cx);
        self.target.say_goodbye(cx);
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.get_mut();
        let Some(running) = relay.running.as_mut() else {
            return Poll::Ready(());
        };
        running.state.handle.wakes(cx.waker());
        if running.state.handle.is_cut() {
            running.say_goodbye(cx);
            running.state.report();
            return Poll::Ready(());
        }
        if running.state.handle.is_to_freeze() && relay.freeze() {
            return Poll::Ready(());
        }
        let Some(Running {
            client,
            target,
            state,
        }) = relay.running.as_mut()
        else {
            return Poll::Ready(());
        };
        let has_more = BUFFER.with_borrow_mut(|buffer| state.go_on(client, target, buffer, cx));
        if state.is_over() {
            client.say_goodbye(cx);
            target.say_goodbye(cx);
            state.report();
            return Poll::Ready(());
        }
        if has_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let handle = Arc::clone(&running.state.handle);
        drop(running);
        if handle.is_over() {
            // Whoever has asked learns that there is nothing to freeze.
            self.tunnels.asker(&handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::task::TaskTracker;

    use super::super::handle::tests::handle;
    use super::super::limits::Limits;
    use super::super::on_end::tests::Lines;
    use super::*;

    fn limits() -> Limits {
        super::super::limits::tests::all(Duration::from_secs(60))
    }

    /// A connection: the relay's end, and the other.
    async fn connection() -> (End<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (
            End {
                stream: ours.unwrap().0,
                early: Vec::new(),
            },
            theirs.unwrap(),
        )
    }

    /// A relay, the other ends of its sockets, what it reports, and its handle.
    async fn relay(limits: Limits) -> (Relay, [TcpStream; 2], Lines, Arc<Handle>) {
        let ((client, far_client), (target, far_target)) = (connection().await, connection().await);
        let client = End {
            stream: ClientStream::Plain(client.stream),
            early: client.early,
        };
        let target = End {
            stream: TargetStream::Plain(target.stream),
            early: target.early,
        };
        let tunnels = Arc::new(Tunnels::new(TaskTracker::new()));
        let handle = Arc::new(handle());
        let lines = Lines::new();
        let seen = Arc::clone(&handle);
        let rules = Rules {
            limits,
            has_frames: true,
            probes_client: false,
        };
        let relay = Relay::new(handle, tunnels, &rules, client, target, lines.on_end());
        (relay, [far_client, far_target], lines, seen)
    }

    #[tokio::test]
    async fn a_panic_in_a_relay_is_reported_once_as_an_end_from_outside() {
        // An idle timeout that no clock can hold makes the relay panic at its first look.
        let limits = Limits {
            idle: Duration::MAX,
            ..limits()
        };
        let (relay, _far, lines, _handle) = relay(limits).await;
        assert!(tokio::spawn(relay).await.unwrap_err().is_panic());
        assert_eq!(lines.reasons(), ["process_exit"]);
    }

    #[tokio::test]
    async fn a_relay_that_is_dropped_or_cut_is_reported_once_as_an_end_from_outside() {
        let (dropped, _far, lines, _handle) = relay(limits()).await;
        drop(dropped);
        assert_eq!(lines.reasons(), ["process_exit"]);

        let (running, _far, lines, handle) = relay(limits()).await;
        let running = tokio::spawn(running);
        handle.cut();
        running.await.unwrap();
        assert_eq!(lines.reasons(), ["process_exit"]);
    }

    #[tokio::test]
    async fn the_first_end_is_the_one_that_is_reported() {
        let (relay, [client, target], lines, handle) = relay(limits()).await;
        let relay = tokio::spawn(relay);
        drop(target);
        let gone = client.readable().await;
        assert!(gone.is_ok());
        drop(client);
        relay.await.unwrap();
        assert_eq!(lines.reasons(), ["target_closed"]);
        assert_eq!(handle.bytes(), (0, 0));
    }

    #[test]
    fn a_relay_is_small() {
        assert!(size_of::<Relay>() <= 640, "{} bytes", size_of::<Relay>());
    }
}
