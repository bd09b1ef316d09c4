//! Bodies that come slowly, stop coming, or are not read to their end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::Problem;
use crate::pace::Pace;

/// Most bytes that are read and thrown away so that a client hears a refusal.
const DRAIN_BYTES: u64 = 64 << 20;
/// Longest wait for them.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The client sent nothing, or next to nothing, for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body brought too little in {} seconds", .0.as_secs())]
pub struct BodyIdle(pub Duration);

/// The body has more bytes than the path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body has more than {0} bytes")]
pub struct TooLarge(pub u64);

/// The problem that a failing body means: 408 when it stopped coming, 413 when
/// there was too much of it, else 400 `body-broken`.
pub fn body_problem(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(idle) = error.downcast_ref::<BodyIdle>() {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "body-idle", idle.to_string());
        }
        if let Some(TooLarge(most)) = error.downcast_ref::<TooLarge>() {
            return Problem::too_large(*most);
        }
        // axum hands it on in a box of its own.
        if error.is::<LengthLimitError>() || error.is::<Box<LengthLimitError>>() {
            let detail = "the body has more bytes than this path takes";
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
        }
        cause = error.source();
    }
    Problem::bad_request("body-broken", "the body ended before it was whole")
}

/// A request's body that fails when it stops coming, and can be had back when its reader is gone.
pub(crate) struct WatchedBody {
    inner: Body,
    idle: Duration,
    pace: Pace,
    left: LeftBody,
}

/// What is left of a body when its reader is gone.
#[derive(Clone, Default)]
pub(crate) struct LeftBody(Arc<Mutex<Option<Body>>>);

impl WatchedBody {
    /// The body under watch, which lets us wait no longer than `idle` for 32 KiB, and where its rest will be.
    pub(crate) fn new(inner: Body, idle: Duration) -> (Self, LeftBody) {
        let left = LeftBody::default();
        (Self { inner, idle, pace: Pace::new(idle), left: left.clone() }, left)
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.pace.moved(data.map_or(0, Bytes::len));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.pace.waits(context));
        Poll::Ready(Some(Err(BodyIdle(this.idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            let rest = std::mem::take(&mut self.inner);
            *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl LeftBody {
    /// Reads the rest and throws it away, within bounds.
    ///
    /// A client over HTTP/1.1 that is still sending when the connection closes
    /// loses the answer; one that is heard out reads why it was refused.
    pub(crate) async fn drain(self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return };
        let until = Instant::now() + DRAIN_TIME;
        let mut drained = 0;
        while drained < DRAIN_BYTES {
            let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until, rest.frame()).await else { return };
            drained += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, stream};

    fn pieces_then_silence() -> Body {
        let pieces = stream::iter([Ok::<_, BoxError>(Bytes::from_static(b"DI"))]);
        Body::from_stream(pieces.chain(stream::pending()))
    }

    const IDLE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_fails_after_the_idle_time_and_not_before() {
        let began = Instant::now();
        let (body, _) = WatchedBody::new(pieces_then_silence(), IDLE);
        let error = Body::new(body).collect().await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 30);
        let problem = body_problem(&error);
        assert_eq!((problem.status().as_u16(), problem.code()), (408, "body-idle"));
    }

    /// Five pieces of so many bytes, one every twenty seconds: what was read, or after how many seconds it failed.
    async fn trickled(bytes: usize) -> Result<usize, u64> {
        let began = Instant::now();
        let pieces = vec![Bytes::from(vec![0; bytes]); 5].into_iter();
        let slowly = stream::unfold(pieces, async |mut pieces| {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Some((Ok::<_, BoxError>(pieces.next()?), pieces))
        });
        let (body, _) = WatchedBody::new(Body::from_stream(slowly), IDLE);
        let read = Body::new(body).collect().await;
        read.map(|whole| whole.to_bytes().len()).map_err(|_| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_cut_off_unless_enough_comes_in_the_idle_time() {
        assert_eq!(trickled(32 << 10).await, Ok(5 * (32 << 10)));
        for bytes in [(32 << 10) - 1, 1] {
            assert_eq!(trickled(bytes).await, Err(30), "{bytes} bytes in the first twenty of thirty seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_slow_while_we_are_busy() {
        let pieces = stream::iter((0..10).map(|_| Ok::<_, BoxError>(Bytes::from_static(b"x"))));
        let (body, _) = WatchedBody::new(Body::from_stream(pieces), IDLE);
        let mut body = Body::new(body);
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, Bytes::len);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(bytes, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_refused_body_is_read_for_a_moment_only() {
        let (body, left) = WatchedBody::new(pieces_then_silence(), IDLE);
        drop(body);
        let began = Instant::now();
        left.drain().await;
        assert_eq!(began.elapsed(), DRAIN_TIME);
    }
}
