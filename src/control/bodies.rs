//! The bodies of requests: whole, within a size and a time, and not too many at once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::rejection::Rejection;

/// What bodies may be.
pub struct Bodies {
    largest: usize,
    time: Duration,
    /// As many bytes as there may be of all together.
    room: Arc<Semaphore>,
}

/// A body, and the room that it takes for as long as this is kept.
pub struct Whole {
    /// The body.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Each at most this large, all together no larger than that, and each within this time.
    pub fn new(largest: usize, together: usize, time: Duration) -> Self {
        let room = Arc::new(Semaphore::new(together));
        Bodies {
            largest,
            time,
            room,
        }
    }

    /// The whole of a body, whose head is this.
    ///
    /// Errors: 408 where it is late, 413 where it is too large, 429 where there is no room for it,
    /// 400 where it breaks off.
    pub async fn whole(&self, head: &HeaderMap, body: Body) -> Result<Whole, Rejection> {
        let announced = head.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > self.largest) {
            return Err(self.too_large());
        }
        let late = |_| {
            let why = "the body did not arrive in time";
            Rejection::new(StatusCode::REQUEST_TIMEOUT, why)
        };
        timeout(self.time, self.read(body)).await.map_err(late)?
    }

    async fn read(&self, mut body: Body) -> Result<Whole, Rejection> {
        let (mut bytes, mut room) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let why = "the body breaks off";
                return Err(Rejection::new(StatusCode::BAD_REQUEST, why));
            };
            // Trailers are passed over.
            let Ok(part) = frame.into_data() else {
                continue;
            };
            if bytes.len() + part.len() > self.largest {
                return Err(self.too_large());
            }
            self.make_room(part.len(), &mut room)?;
            bytes.extend_from_slice(&part);
        }
        Ok(Whole {
            bytes: bytes.into(),
            _room: room,
        })
    }

    fn make_room(
        &self,
        bytes: usize,
        room: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), Rejection> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            let why = "too much is being sent at once";
            return Err(Rejection::new(StatusCode::TOO_MANY_REQUESTS, why));
        };
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }

    fn too_large(&self) -> Rejection {
        let why = format!("the body is larger than {} bytes", self.largest);
        Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    async fn status(bodies: &Bodies, head: &HeaderMap, body: impl Into<Body>) -> u16 {
        let whole = bodies.whole(head, body.into()).await;
        whole.err().map_or(200, |found| found.status.as_u16())
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_whether_it_is_announced_or_not() {
        let bodies = Bodies::new(4, 100, TIME);
        let silent = HeaderMap::new();
        for (body, expected) in [("", 200), ("1234", 200), ("12345", 413)] {
            assert_eq!(status(&bodies, &silent, body).await, expected, "{body}");
        }
        let mut announced = HeaderMap::new();
        announced.insert(CONTENT_LENGTH, 5.into());
        // It is not waited for.
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(status(&bodies, &announced, never).await, 413);
    }

    #[tokio::test]
    async fn there_is_room_for_so_much_at_a_time_and_no_more() {
        let bodies = Bodies::new(4, 6, TIME);
        let head = HeaderMap::new();
        let first = bodies.whole(&head, "1234".into()).await.unwrap();
        assert_eq!(&first.bytes[..], b"1234");
        assert_eq!(status(&bodies, &head, "12").await, 200);
        assert_eq!(status(&bodies, &head, "123").await, 429);
        drop(first);
        assert_eq!(status(&bodies, &head, "123").await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_late_or_breaks_off_is_refused() {
        let bodies = Bodies::new(4, 6, TIME);
        let head = HeaderMap::new();
        let begun = || stream::iter([Ok("12")]);
        let late = Body::from_stream(begun().chain(stream::pending::<Result<_, Infallible>>()));
        assert_eq!(status(&bodies, &head, late).await, 408);
        let broken = [Ok("12"), Err(std::io::Error::other("reset"))];
        let broken = Body::from_stream(stream::iter(broken));
        assert_eq!(status(&bodies, &head, broken).await, 400);
        assert_eq!(bodies.room.available_permits(), 6);
    }
}
