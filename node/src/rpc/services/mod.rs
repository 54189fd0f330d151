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
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
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
const ROOM: usize = 8;
/// How long a request waits for one of few places before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes a second that the reader of a download must take on average, after its first deadline: a place is held meanwhile.
const SLOWEST: u64 = 32 << 10;
/// Least time between two batches for a watcher: what comes meanwhile goes out together, at the cost of one.
pub(super) const BEAT: Duration = Duration::from_millis(200);

/// Sends answers to a reader that may stop reading. Flow control hides that from the connection, which stays alive, so
/// whoever sends has to give up.
struct Sending<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    deadline: Duration,
    begun: Instant,
    /// Bytes for which time was given.
    sent: u64,
}

impl<T: Send + 'static> Sending<T> {
    /// Answers with a stream. The reader must take each of them within the deadline.
    fn open(deadline: Duration, room: usize) -> (Sending<T>, Answers<T>) {
        let (sender, receiver) = mpsc::channel(room);
        (Sending { sender, deadline, begun: Instant::now(), sent: 0 }, Box::pin(ReceiverStream::new(receiver)))
    }

    /// Sends one; false when the reader is gone or does not read.
    async fn send(&self, answer: Result<T, Status>) -> bool {
        matches!(timeout(self.deadline, self.sender.send(answer)).await, Ok(Ok(())))
    }

    /// Sends one of so many bytes of a download; false when the reader is gone or slower than [`SLOWEST`].
    async fn part(&mut self, answer: T, bytes: usize) -> bool {
        let given = self.deadline + Duration::from_millis(self.sent.saturating_mul(1000) / SLOWEST);
        self.sent = self.sent.saturating_add(bytes as u64);
        matches!(timeout_at(self.begun + given, self.sender.send(Ok(answer))).await, Ok(Ok(())))
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
async fn enter<T>(gate: &Arc<Gate>, request: &Request<T>, patience: Duration, what: &str) -> Result<Pass, Status> {
    let peer = PeerInfo::of(request).map(|peer| PeerKey::of(peer.address.ip()));
    gate.enter(peer, patience).await.ok_or_else(|| busy(what))
}

fn refused(refusal: Refusal) -> Status {
    to_status(&refusal)
}

/// Too many of something at a time.
fn busy(what: &str) -> Status {
    to_status(&Refusal::new(ErrorCode::E401, format!("expected room for one more {what}, found none; try again later")))
}
