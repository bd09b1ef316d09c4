//! `POST /studies` and `/studies/{study}`: STOW-RS (PS3.18, section 10.5).
//!
//! Parts are spooled as they come and received a few at a time, so that they share
//! commits. A part counts only when what follows it has proved where it ends: a
//! body whose parts cannot be told apart never becomes a shorter instance.

mod answer;
mod json;

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use clinical::role::{Action, Permission, Resource as Kind};
use clinical::uid::StudyInstanceUid;
use futures::StreamExt;
use gate::{Caller, Problem, body_problem};
use ingest::receive::{Receipt, ReceiveError, Received, Receiver};
use ingest::spool::{Spool, SpoolError};
use ingest::stow::{Boundary, PartReader, StowError};
use storage::audit::Trail;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::answer::Outcome;
use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::dicom_json::DICOM_JSON;
use crate::resource::Resource;
use crate::state::DicomWebState;

const DICOM: &str = "application/dicom";
const TAKEN: &str = "multipart/related; type=\"application/dicom\", application/dicom with one instance, or \
                     multipart/related; type=\"application/dicom+json\" with metadata and bulk data; not XML";
/// Instances of one request that are received at a time.
const AT_ONCE: usize = 4;
/// Most parts of one request.
const PARTS_MAX: usize = 100_000;

/// `POST /dicom-web/studies`
pub(crate) async fn store(
    State(state): State<DicomWebState>,
    caller: Caller,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let desk = Desk::new(&state, &caller, None);
    desk.serve(&base, &accept, &headers, body).await
}

/// `POST /dicom-web/studies/{study}`
pub(crate) async fn store_in_study(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let desk = Desk::new(&state, &caller, resource.study);
    desk.serve(&base, &accept, &headers, body).await
}

/// One request's instances on their way into the hall.
struct Desk {
    receiver: Receiver,
    trail: Trail,
    caller: Caller,
    receipt: Receipt,
    received: JoinSet<(usize, Outcome)>,
    outcomes: Vec<(usize, Outcome)>,
    count: usize,
    held_mib: Arc<Semaphore>,
}

impl Desk {
    fn new(state: &DicomWebState, caller: &Caller, study: Option<StudyInstanceUid>) -> Self {
        let may_reject = caller.may(Permission { resource: Kind::Study, action: Action::Delete });
        let receipt = Receipt { expected_study: study, may_reject, ..Receipt::from_sender(caller.clinic) };
        let (receiver, trail, caller) = (state.receiver.clone(), state.app.trail.clone(), caller.clone());
        let held_mib = Arc::clone(&state.held_mib);
        Self {
            receiver,
            trail,
            caller,
            receipt,
            received: JoinSet::new(),
            outcomes: Vec::new(),
            count: 0,
            held_mib,
        }
    }

    async fn serve(
        mut self,
        base: &BaseUrl,
        accept: &Accept,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        accept::json_or_problem(accept)?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.ok_or_else(|| Problem::unsupported_media_type(TAKEN))?;
        if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            let plain = HeaderValue::from_static("identity");
            let refused = Problem::unsupported_media_type("a body without Content-Encoding");
            return Err(refused.with_header(header::ACCEPT_ENCODING, plain));
        }
        let stream = body.into_data_stream();
        let read = if is_dicom(content_type) {
            self.take_whole(stream).await
        } else {
            let (boundary, kind) = Boundary::from_content_type(content_type).map_err(|it| problem(it, 0))?;
            let reader = PartReader::new(stream, &boundary, kind.as_deref());
            match kind.as_deref() {
                None | Some(DICOM) => self.take_parts(reader).await,
                Some(DICOM_JSON) => {
                    self.take_json(reader).await?;
                    Ok(())
                }
                Some(_) => return Err(Problem::unsupported_media_type(TAKEN)),
            }
        };
        while self.settle().await {}
        self.outcomes.sort_by_key(|(index, _)| *index);
        let outcomes: Vec<Outcome> =
            std::mem::take(&mut self.outcomes).into_iter().map(|(_, outcome)| outcome).collect();
        let durable = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(Ok(_)))).count();
        read.map_err(|error| problem(error, durable))?;
        answer::response(self.receipt.expected_study.as_ref(), base, outcomes)
    }

    /// A body that is one instance.
    async fn take_whole(&mut self, mut stream: BodyDataStream) -> Result<(), StowError> {
        let mut slot = Slot::Spooling(self.receiver.spool());
        while let Some(chunk) = stream.next().await {
            slot.write(chunk.map_err(|error| StowError::Body(error.into()))?).await;
        }
        // an empty body holds no instance
        if !matches!(&slot, Slot::Spooling(spool) if spool.length() == 0) {
            self.hand_in(slot).await;
        }
        Ok(())
    }

    async fn take_parts(&mut self, mut reader: PartReader<BodyDataStream>) -> Result<(), StowError> {
        let mut pending: Option<Slot> = None;
        loop {
            let head = reader.next_part().await?;
            // Only now it is sure that the part before ended where it seemed to.
            if let Some(slot) = pending.take() {
                self.hand_in(slot).await;
            }
            let Some(head) = head else { return Ok(()) };
            if self.count == PARTS_MAX {
                return Err(StowError::Unclear);
            }
            let mut slot = match head.content_type.as_deref() {
                Some(kind) if !is_dicom(kind) => Slot::OtherMedia,
                _ => Slot::Spooling(self.receiver.spool()),
            };
            while let Some(chunk) = reader.chunk().await? {
                slot.write(chunk).await;
            }
            pending = Some(slot);
        }
    }

    /// Begins to receive a whole part; waits while as many as allowed are under way.
    async fn hand_in(&mut self, slot: Slot) {
        let index = self.count;
        self.count += 1;
        let spool = match slot {
            Slot::Spooling(spool) => spool,
            Slot::Failed(error) => return self.outcomes.push((index, Outcome::Done(Err(error.into())))),
            Slot::OtherMedia => return self.outcomes.push((index, Outcome::OtherMedia)),
        };
        while self.received.len() >= AT_ONCE && self.settle().await {}
        let (receiver, receipt) = (self.receiver.clone(), self.receipt.clone());
        let (trail, caller) = (self.trail.clone(), self.caller.clone());
        self.received.spawn(async move {
            (index, Outcome::Done(receive(&receiver, receipt, spool, &trail, &caller).await))
        });
    }

    /// Notes what became of a part of which there is nothing to receive.
    fn set_aside(&mut self, outcome: Outcome) {
        self.outcomes.push((self.count, outcome));
        self.count += 1;
    }

    /// Waits for one receipt; `false` when none is under way.
    async fn settle(&mut self) -> bool {
        match self.received.join_next().await {
            Some(Ok(outcome)) => self.outcomes.push(outcome),
            // a panic, of which the part's number is lost: last in the answer
            Some(Err(error)) => {
                self.outcomes.push((usize::MAX, Outcome::Done(Err(ReceiveError::Examine(error)))));
            }
            None => return false,
        }
        true
    }
}

/// Who hangs up takes back nothing: what is being received is stored and written down all the same.
impl Drop for Desk {
    fn drop(&mut self) {
        self.received.detach_all();
    }
}

/// Receives one instance, and writes down whose study it is.
async fn receive(
    receiver: &Receiver,
    receipt: Receipt,
    spool: Spool,
    trail: &Trail,
    caller: &Caller,
) -> Result<Received, ReceiveError> {
    let received = receiver.receive(receipt, spool).await?;
    caller.write_down_once(trail, received.study_id, received.patient_id).await?;
    Ok(received)
}

/// One part while its bytes come.
enum Slot {
    Spooling(Spool),
    /// It could not be spooled: the rest of it is passed over.
    Failed(SpoolError),
    /// It is no DICOM by its own word.
    OtherMedia,
}

impl Slot {
    async fn write(&mut self, chunk: bytes::Bytes) {
        if let Self::Spooling(spool) = self
            && let Err(error) = spool.write(chunk).await
        {
            *self = Self::Failed(error);
        }
    }
}

fn is_dicom(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(DICOM))
}

/// Why the body as a whole is refused; `durable` instances before the fault are stored all the same.
fn problem(error: StowError, durable: usize) -> Problem {
    let code = match &error {
        StowError::NotMultipart => return Problem::unsupported_media_type(TAKEN),
        StowError::Body(cause) => return body_problem(cause.as_ref()),
        StowError::BadBoundary => "invalid-boundary",
        StowError::Truncated => "body-truncated",
        StowError::BadHead | StowError::HeadTooLarge | StowError::LengthMismatch => "part-malformed",
        StowError::Unclear => "parts-unclear",
    };
    let detail = match durable {
        0 => format!("{error}; nothing was stored"),
        count => format!(
            "{error}; {count} instances before the fault are stored but not acknowledged: send all of them again, \
             the same bytes are not stored twice"
        ),
    };
    Problem::bad_request(code, detail)
}
