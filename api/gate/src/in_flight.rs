//! How many requests at a time, and how long each.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Problem;

/// When whoever found no place may try again, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The requests of one kind that are under way in this process.
///
/// Streaming ones have a count of their own: whoever sends or takes slowly must not keep the others out.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<Semaphore>);

/// The right to be under way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    /// Room for `most` requests.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, at once or not at all: a queue without bound would only make everybody wait.
    ///
    /// # Errors
    ///
    /// 503 `overloaded` with `Retry-After`.
    pub fn enter(&self) -> Result<Place, Problem> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map(|permit| Place { _permit: permit }).map_err(|_| {
            metrics::counter!("http_overloaded_total").increment(1);
            busy("overloaded", "the service has too much to do at this moment; try again")
        })
    }
}

impl Place {
    /// The answer, which keeps the place until its last byte has been taken.
    pub fn hold(self, answer: Response) -> Response {
        answer.map(|inner| Body::new(HeldBody { inner, _place: self }))
    }
}

/// The answer, or 503 `timed-out` where it does not come within `time`: what was going on is then given up, and its
/// open transaction with it.
pub async fn within(time: Option<Duration>, answer: impl Future<Output = Response>) -> Response {
    let Some(time) = time else { return answer.await };
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer,
        Err(_) => busy("timed-out", "the request took too long and was given up").into_response(),
    }
}

fn busy(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
}

struct HeldBody {
    inner: Body,
    _place: Place,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn refused(problem: &Problem) -> (u16, &'static str, String) {
        let answer = problem.clone().into_response();
        let after = answer.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned();
        (problem.status().as_u16(), problem.code(), after)
    }

    #[tokio::test]
    async fn over_the_limit_is_refused_at_once_and_a_place_is_free_when_its_answer_is_taken() {
        let in_flight = InFlight::new(2);
        let (first, second) = (in_flight.enter().unwrap(), in_flight.enter().unwrap());
        assert_eq!(refused(&in_flight.enter().unwrap_err()), (503, "overloaded", "1".into()));
        let answer = first.hold(Response::new(Body::from("done")));
        assert!(in_flight.enter().is_err(), "its answer is still being sent");
        assert_eq!(answer.body().size_hint().exact(), Some(4), "Content-Length stays");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
        let third = in_flight.enter().unwrap();
        drop((second, third));
        in_flight.enter().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up_and_what_streams_is_not() {
        let slow = async || {
            tokio::time::sleep(Duration::from_secs(61)).await;
            Response::new(Body::empty())
        };
        let answer = within(Some(Duration::from_secs(60)), slow()).await;
        let problem = answer.extensions().get::<Problem>().unwrap();
        assert_eq!(refused(problem), (503, "timed-out", "1".into()));
        assert_eq!(within(Some(Duration::from_secs(62)), slow()).await.status(), 200);
        assert_eq!(within(None, slow()).await.status(), 200);
    }
}
