//! One file for each service of `specs/proto`.
mod contributions;
mod datasets;
mod ledger;
mod log;
mod members;
mod models;
mod rounds;
mod spaces;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tonic::{Request, Status};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

use super::context::Context;
use super::gate::{Gate, Pass};
use super::status::to_status;
use crate::transport::listener::PeerInfo;
use crate::transport::quota::PeerKey;

/// The services of a node: one value under several names.
#[derive(Clone)]
pub struct Services(pub Arc<Context>);

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers that wait for a slow reader before the sender waits too.
const ROOM: usize = 4;
/// How long a request waits for one of few places before it is refused.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes a second that the reader of a download must take on average, after its first deadline: a place is held meanwhile.
const SLOWEST: u64 = 32 << 10;
/// Least time between two batches for a watcher: what comes meanwhile goes out together, at the cost of one.
pub(super) const BEAT: Duration = Duration::from_millis(500);

/// Sends answers to a reader that may stop reading.
struct Sending<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    cut: Arc<AtomicBool>,
    deadline: Duration,
    begun: Instant,
    /// Bytes for which time was given.
    sent: u64,
}

/// What the reader gets. It holds the place until it is dropped, since it may hold answers until then.
struct Received<T> {
    receiver: mpsc::Receiver<Result<T, Status>>,
    cut: Arc<AtomicBool>,
    _pass: Arc<Pass>,
}

impl<T> Stream for Received<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.receiver.poll_recv(context));
        // What was cut off must not look whole.
        Poll::Ready(
            next.or_else(|| self.cut.swap(false, Ordering::Relaxed).then(|| Err(refused(too_slow())))),
        )
    }
}

fn too_slow() -> Refusal {
    Refusal::new(ErrorCode::E402, "expected a reader that keeps up, found one that is too slow; ask again")
}

impl<T: Send + 'static> Sending<T> {
    /// Answers with a stream. The reader must take each of them within the deadline.
    fn open(deadline: Duration, room: usize, pass: Arc<Pass>) -> (Sending<T>, Answers<T>) {
        let (sender, receiver) = mpsc::channel(room);
        let cut = Arc::new(AtomicBool::new(false));
        let received = Received { receiver, cut: Arc::clone(&cut), _pass: pass };
        (Sending { sender, cut, deadline, begun: Instant::now(), sent: 0 }, Box::pin(received))
    }

    /// Sends one; false when the reader is gone or does not read.
    async fn send(&self, answer: Result<T, Status>) -> bool {
        self.send_until(Instant::now() + self.deadline, answer).await
    }

    /// Sends one of so many bytes of a download; false when the reader is gone or slower than [`SLOWEST`].
    async fn part(&mut self, answer: T, bytes: usize) -> bool {
        let given = self.deadline + Duration::from_millis(self.sent.saturating_mul(1000) / SLOWEST);
        self.sent = self.sent.saturating_add(bytes as u64);
        self.send_until(self.begun + given, Ok(answer)).await
    }

    async fn send_until(&self, end: Instant, answer: Result<T, Status>) -> bool {
        match timeout_at(end, self.sender.send(answer)).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                self.cut.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    /// Done when the reader is gone.
    async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// Sends bytes in parts; whoever goes away or does not read ends it.
async fn send_parts<T: Send + 'static>(
    sending: &mut Sending<T>,
    bytes: &[u8],
    part: usize,
    wrap: impl Fn(prost::bytes::Bytes) -> T,
) {
    for chunk in bytes.chunks(part.max(1)) {
        if !sending.part(wrap(prost::bytes::Bytes::copy_from_slice(chunk)), chunk.len()).await {
            return;
        }
    }
}

/// A place at a gate for the peer of a request.
async fn enter<T>(
    gate: &Arc<Gate>,
    request: &Request<T>,
    patience: Duration,
    what: &str,
) -> Result<Arc<Pass>, Status> {
    let peer = PeerInfo::of(request).map(|peer| PeerKey::of(peer.address.ip()));
    gate.enter(peer, patience).await.map(Arc::new).ok_or_else(|| busy(what))
}

/// Does what may block on a thread of its own. Whoever asked may go away: the work goes on, and so the place stays taken
/// until it is done.
async fn blocking<T: Send + 'static>(
    pass: &Arc<Pass>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let held = Arc::clone(pass);
    let done = tokio::task::spawn_blocking(move || {
        let _held = held;
        work()
    });
    done.await.map_err(|_| busy("download"))
}

/// Bytes that a thread makes for a reader: it waits while the reader is behind, and fails when the reader is gone.
struct Pipe {
    parts: mpsc::Sender<prost::bytes::Bytes>,
    part: usize,
}

impl Pipe {
    /// A pipe for parts of at most so many bytes.
    fn new(part: usize) -> (Pipe, mpsc::Receiver<prost::bytes::Bytes>) {
        let (parts, receiver) = mpsc::channel(1);
        (Pipe { parts, part: part.max(1) }, receiver)
    }
}

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let part = &bytes[..bytes.len().min(self.part)];
        self.parts
            .blocking_send(prost::bytes::Bytes::copy_from_slice(part))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn refused(refusal: Refusal) -> Status {
    to_status(&refusal)
}

/// Too many of something at a time.
fn busy(what: &str) -> Status {
    to_status(&Refusal::new(
        ErrorCode::E401,
        format!("expected room for one more {what}, found none; try again later"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_place_stays_taken_until_the_work_is_done_whoever_goes_away() {
        let gate = Gate::new(1, 1);
        let pass = Arc::new(gate.enter(None, Duration::ZERO).await.unwrap());
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let asking = tokio::spawn(async move {
            let work = move || {
                let _ = began.send(());
                released.recv()
            };
            blocking(&pass, work).await
        });
        begun.await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(gate.taken(), 1);
        release.send(()).unwrap();
        gate.enter(None, Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn a_pipe_has_short_parts_and_fails_without_a_reader() {
        let (mut pipe, mut parts) = Pipe::new(3);
        let writing = tokio::task::spawn_blocking(move || (pipe.write_all(b"12345678"), pipe));
        for part in [&b"123"[..], b"456", b"78"] {
            assert_eq!(parts.recv().await.unwrap(), part);
        }
        let (written, mut pipe) = writing.await.unwrap();
        written.unwrap();
        drop(parts);
        let failed = tokio::task::spawn_blocking(move || pipe.write_all(b"9")).await.unwrap();
        assert_eq!(failed.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }
}
