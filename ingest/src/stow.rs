//! Reads the `multipart/related` body of a STOW-RS request as it arrives.
//!
//! A delimiter is CRLF, `--`, the boundary, white space, CRLF; the same text anywhere else is data. The search
//! takes whole chunks, and data leaves as slices of them. Nothing counts before the close delimiter: a body whose
//! parts cannot be told apart is an error, never a shorter instance.
//!
//! Source: RFC 2046, section 5.1; RFC 2387; DICOM PS3.18, section 8.6.1.2.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use memchr::memmem::Finder;

mod boundary;
mod head;
#[cfg(test)]
mod tests;

pub use boundary::Boundary;
pub use head::PartHead;

/// Most bytes before the first delimiter, and behind the close delimiter.
const MARGIN_BYTES: u64 = 64 << 10;

/// Most bytes of a part's headers.
const HEAD_BYTES: usize = 16 << 10;

/// Most white space behind a boundary.
const PADDING_BYTES: usize = 1 << 10;

/// Bytes of the next chunk that are copied to see across the border of two chunks.
const JOINT_BYTES: usize = 4 << 10;

/// Why a STOW-RS body is not read; all but [`StowError::NotMultipart`] and [`StowError::Body`] are status 400.
#[derive(Debug, thiserror::Error)]
pub enum StowError {
    /// The content type is something other than `multipart/related`: status 415.
    #[error("the content type is not multipart/related")]
    NotMultipart,
    /// The boundary parameter is missing, twice there, longer than 70 characters or not of RFC 2046's characters.
    #[error("the content type has no valid boundary")]
    BadBoundary,
    /// The body ends before its close delimiter.
    #[error("the body ends before its close delimiter")]
    Truncated,
    /// The headers of a part are no lines of `name: value`, or lack Content-Type where it must be.
    #[error("the headers of a part are malformed")]
    BadHead,
    /// The headers of a part pass 16 KiB.
    #[error("the headers of a part are too large")]
    HeadTooLarge,
    /// Content-Length of a part is not the length of its data.
    #[error("a part is not as long as its content length says")]
    LengthMismatch,
    /// Delimiters stand where none may be, or too much stands around the parts.
    #[error("the parts of the body cannot be told apart")]
    Unclear,
    /// The connection failed, or a limit of the caller was passed.
    #[error("the body cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Head,
    Data,
    Epilogue,
    Over,
    Broken,
}

/// What comes next in the body.
enum Step {
    Data(Bytes),
    Delimiter,
    Close,
    End,
}

/// What the bytes behind a boundary make of it.
enum Follow {
    /// A delimiter, with the place of its CRLF.
    Delimiter(usize),
    /// The close delimiter, with the place where the epilogue begins.
    Close(usize),
    Data,
    NeedsMore,
}

/// The parts of a body, one after the other.
///
/// The parts that were given count only when [`PartReader::next_part`] has given `None`.
#[derive(Debug)]
pub struct PartReader<S> {
    stream: S,
    /// CRLF, `--`, boundary.
    delimiter: Finder<'static>,
    needs_type: NeedsType,
    state: State,
    /// Under the search.
    buffer: Bytes,
    /// What of the latest chunk has not been joined to `buffer` yet.
    rest: Bytes,
    /// Bytes at the head of `buffer` that are a line end before the data, not data.
    owed: usize,
    /// The stream has ended and must not be asked again.
    is_over: bool,
    declared_bytes: Option<u64>,
    data_bytes: u64,
}

/// Whether each part must say its Content-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NeedsType {
    Yes,
    No,
}

impl<S, E> PartReader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads `stream` by the boundary and the `type` that [`Boundary::from_content_type`] gave.
    ///
    /// With a `type`, each part must have a Content-Type of its own.
    pub fn new(stream: S, boundary: &Boundary, type_parameter: Option<&str>) -> Self {
        let delimiter = Finder::new(&format!("\r\n--{}", boundary.as_str())).into_owned();
        let needs_type = if type_parameter.is_some() { NeedsType::Yes } else { NeedsType::No };
        Self {
            stream,
            delimiter,
            needs_type,
            state: State::Preamble,
            // the first delimiter may open the body without a line end before it
            buffer: Bytes::from_static(b"\r\n"),
            rest: Bytes::new(),
            owed: 2,
            is_over: false,
            declared_bytes: None,
            data_bytes: 0,
        }
    }

    /// The headers of the next part, what is left of the current one passed over; `None` behind the last part, when
    /// the whole body has been read and every part counts.
    ///
    /// # Errors
    ///
    /// [`StowError`]: then no part of the body counts, also none that was given before.
    pub async fn next_part(&mut self) -> Result<Option<PartHead>, StowError> {
        match self.advance().await {
            Ok(head) => Ok(head),
            Err(error) => {
                self.state = State::Broken;
                Err(error)
            }
        }
    }

    /// The next data of the current part, as it arrives; `None` when its closing delimiter has proved whole.
    ///
    /// # Errors
    ///
    /// As [`PartReader::next_part`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, StowError> {
        if self.state == State::Broken {
            return Err(StowError::Unclear);
        }
        match self.data().await {
            Ok(data) => Ok(data),
            Err(error) => {
                self.state = State::Broken;
                Err(error)
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<PartHead>, StowError> {
        loop {
            match self.state {
                State::Preamble => self.pass_preamble().await?,
                State::Data => while self.data().await?.is_some() {},
                State::Head => return self.head().await.map(Some),
                State::Epilogue => self.pass_epilogue().await?,
                State::Over => return Ok(None),
                State::Broken => return Err(StowError::Unclear),
            }
        }
    }

    async fn pass_preamble(&mut self) -> Result<(), StowError> {
        let mut passed = 0;
        loop {
            match self.step().await? {
                Step::Data(data) => passed += data.len() as u64,
                Step::Delimiter => {
                    self.state = State::Head;
                    return Ok(());
                }
                Step::Close => return Err(StowError::Unclear),
                Step::End => return Err(StowError::Truncated),
            }
            if passed > MARGIN_BYTES {
                return Err(StowError::Unclear);
            }
        }
    }

    /// A delimiter behind the close delimiter proves that the latter was data.
    async fn pass_epilogue(&mut self) -> Result<(), StowError> {
        let mut passed = 0;
        loop {
            match self.step().await? {
                Step::Data(data) => passed += data.len() as u64,
                Step::Delimiter | Step::Close => return Err(StowError::Unclear),
                Step::End => {
                    self.state = State::Over;
                    return Ok(());
                }
            }
            if passed > MARGIN_BYTES {
                return Err(StowError::Unclear);
            }
        }
    }

    /// Reads a part's headers; the buffer begins with the CRLF of the delimiter's line.
    async fn head(&mut self) -> Result<PartHead, StowError> {
        let mut seen = 0;
        let end = loop {
            let limit = self.buffer.len().min(HEAD_BYTES + 4);
            if let Some(end) = memchr::memmem::find(&self.buffer[seen..limit], b"\r\n\r\n") {
                break seen + end;
            }
            if limit == HEAD_BYTES + 4 {
                return Err(StowError::HeadTooLarge);
            }
            if self.is_over {
                return Err(StowError::Truncated);
            }
            seen = limit.saturating_sub(3);
            self.more().await?;
        };
        let lines = self.buffer.split_to(end);
        if self.delimiter.find(&lines).is_some() {
            return Err(StowError::BadHead);
        }
        let head = PartHead::parse(lines.get(2..).unwrap_or_default())?;
        if self.needs_type == NeedsType::Yes && head.content_type.is_none() {
            return Err(StowError::BadHead);
        }
        // the end of the empty line stays: it is also the line end before a delimiter that follows at once
        self.buffer = self.buffer.split_off(2);
        self.owed = 2;
        self.declared_bytes = head.content_length;
        self.data_bytes = 0;
        self.state = State::Data;
        Ok(head)
    }

    async fn data(&mut self) -> Result<Option<Bytes>, StowError> {
        if self.state != State::Data {
            return Ok(None);
        }
        match self.step().await? {
            Step::Data(data) => {
                self.data_bytes += data.len() as u64;
                return Ok(Some(data));
            }
            Step::Delimiter => self.state = State::Head,
            Step::Close => self.state = State::Epilogue,
            Step::End => return Err(StowError::Truncated),
        }
        if self.declared_bytes.is_some_and(|declared| declared != self.data_bytes) {
            return Err(StowError::LengthMismatch);
        }
        Ok(None)
    }

    /// Finds the next delimiter, or gives the data before it. Each step takes something from the buffer.
    async fn step(&mut self) -> Result<Step, StowError> {
        loop {
            let length = self.delimiter.needle().len();
            let Some(at) = self.delimiter.find(&self.buffer) else {
                let open = if self.is_over { 0 } else { self.begun_delimiter() };
                let data = self.take(self.buffer.len() - open);
                if !data.is_empty() {
                    return Ok(Step::Data(data));
                }
                if self.is_over {
                    return Ok(Step::End);
                }
                self.more().await?;
                continue;
            };
            if at > self.owed {
                return Ok(Step::Data(self.take(at)));
            }
            match follow(&self.buffer[at + length..], self.is_over)? {
                Follow::Delimiter(end) => {
                    self.owed = 0;
                    self.buffer = self.buffer.split_off(at + length + end);
                    return Ok(Step::Delimiter);
                }
                Follow::Close(end) => {
                    self.owed = 0;
                    self.buffer = self.buffer.split_off(at + length + end);
                    return Ok(Step::Close);
                }
                Follow::Data => return Ok(Step::Data(self.take(at + length))),
                Follow::NeedsMore => self.more().await?,
            }
        }
    }

    /// Takes `length` bytes from the buffer; those that are owed to the line end before are left out.
    fn take(&mut self, length: usize) -> Bytes {
        let mut taken = self.buffer.split_to(length);
        let owed = self.owed.min(taken.len());
        self.owed -= owed;
        taken.split_off(owed)
    }

    /// Bytes at the end of the buffer that may be the beginning of a delimiter; only its first byte is a CR.
    fn begun_delimiter(&self) -> usize {
        let needle = self.delimiter.needle();
        let from = self.buffer.len().saturating_sub(needle.len() - 1);
        let Some(at) = memchr::memrchr(b'\r', &self.buffer[from..]) else { return 0 };
        let begun = &self.buffer[from + at..];
        if needle.starts_with(begun) { begun.len() } else { 0 }
    }

    /// Brings more bytes into the buffer: a whole chunk where it is empty, else a copied joint; nothing at the end.
    async fn more(&mut self) -> Result<(), StowError> {
        while self.rest.is_empty() && !self.is_over {
            match self.stream.next().await {
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => return Err(StowError::Body(error.into())),
                None => self.is_over = true,
            }
        }
        if self.buffer.is_empty() {
            self.buffer = std::mem::take(&mut self.rest);
            return Ok(());
        }
        let joint = self.rest.split_to(self.rest.len().min(JOINT_BYTES));
        // grows in place where nobody else holds the bytes, as with a body that drips in
        let mut buffer =
            std::mem::take(&mut self.buffer).try_into_mut().unwrap_or_else(|held| held[..].into());
        buffer.extend_from_slice(&joint);
        self.buffer = buffer.freeze();
        Ok(())
    }
}

/// Judges the bytes behind a boundary at a line start.
fn follow(behind: &[u8], is_over: bool) -> Result<Follow, StowError> {
    let undecided = if is_over { Follow::Data } else { Follow::NeedsMore };
    let (is_close, line) = match behind {
        [b'-', b'-', line @ ..] => (true, line),
        [] | [b'-'] => return Ok(undecided),
        line => (false, line),
    };
    let padding = line.iter().take(PADDING_BYTES + 1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if padding > PADDING_BYTES {
        return Err(StowError::Unclear);
    }
    let end = behind.len() - line.len() + padding;
    Ok(match (is_close, &line[padding..]) {
        (true, []) if is_over => Follow::Close(end),
        (_, [] | [b'\r']) => undecided,
        (true, [b'\r', b'\n', ..]) => Follow::Close(end),
        (false, [b'\r', b'\n', ..]) => Follow::Delimiter(end),
        _ => Follow::Data,
    })
}
