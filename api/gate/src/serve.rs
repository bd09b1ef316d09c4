//! The HTTP port: an accept loop that no slow client can hold up.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower::Layer;

use crate::address::Peer;
use crate::pace::Pace;
use crate::{HttpLimits, metrics};

/// So many bytes tell HTTP/1.1 from HTTP/2: the latter's preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// How often the numbers are folded together.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// The wait after an accept that failed, as it does when descriptors run out.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);
/// hyper takes no smaller buffer for the head of a request.
const LEAST_HEAD_BYTES: usize = 8 << 10;
/// Most requests at a time over one connection of HTTP/2.
const STREAMS: u32 = 128;

/// Serves HTTP/1.1 and HTTP/2 without TLS until `stop` is ready.
///
/// Then nothing new is accepted, and requests in flight have
/// [`HttpLimits::shutdown`] to finish; what is not done by then is cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stop: impl Future<Output = ()> + Send,
) {
    let server = Arc::new(builder(&limits));
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut tidying = tokio::time::interval(TIDY_EVERY);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = tidying.tick() => {
                metrics::tidy();
                continue;
            }
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_client(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        let io = TokioIo::new(PromptStream::new(stream, &limits));
        let service = TowerToHyperService::new(Extension(Peer(peer)).layer(router.clone()));
        let connection = graceful.watch(server.serve_connection_with_upgrades(io, service).into_owned());
        connections.spawn(async move {
            let _place = place;
            ::metrics::gauge!("http_connections").increment(1.0);
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
            ::metrics::gauge!("http_connections").decrement(1.0);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "some requests were cut off");
    }
}

fn builder(limits: &HttpLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let head_bytes = limits.head_bytes.max(LEAST_HEAD_BYTES);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_read).max_buf_size(head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_read)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS);
    builder
}

/// Waits for a free place first: what has none waits in the system's own queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // It fails only on a connection that is gone already, which the first read finds out.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer.ip().to_canonical(), place))
}

/// Whether a client hung up before it was accepted: nothing is wrong here.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A connection whose first bytes must come in time, and whose answers must be taken in time.
///
/// hyper's own clock runs from the first byte of a request's head to its last.
struct PromptStream {
    stream: TcpStream,
    /// How many of the first bytes are still to come.
    missing: usize,
    alarm: Pin<Box<Sleep>>,
    /// How the client takes its answers.
    write_pace: Pace,
}

impl PromptStream {
    fn new(stream: TcpStream, limits: &HttpLimits) -> Self {
        let alarm = Box::pin(tokio::time::sleep(limits.header_read));
        let write_pace = Pace::new(limits.body_idle);
        Self { stream, missing: PREFACE_BYTES, alarm, write_pace }
    }

    /// The outcome of a write, or a timeout where too little was taken for too long.
    fn in_time(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.write_pace.moved(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.write_pace.waits(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for PromptStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.missing == 0 {
            return polled;
        }
        match polled {
            Poll::Ready(read) => {
                let came = buffer.filled().len() - before;
                self.missing = self.missing.saturating_sub(came);
                Poll::Ready(read)
            }
            Poll::Pending if self.alarm.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for PromptStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
