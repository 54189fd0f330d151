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

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

use super::context::Context;
use super::status::to_status;

/// The services of a node: one value under several names.
#[derive(Clone)]
pub struct Services(pub Arc<Context>);

/// A stream of answers.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers that wait for a slow reader before the sender waits too.
const ROOM: usize = 8;

/// A channel whose far end is a stream of answers.
fn channel<T: Send + 'static>() -> (mpsc::Sender<Result<T, Status>>, Answers<T>) {
    let (sender, receiver) = mpsc::channel(ROOM);
    (sender, Box::pin(ReceiverStream::new(receiver)))
}

/// Sends bytes in parts; whoever goes away ends it.
async fn send_parts<T>(
    sender: &mpsc::Sender<Result<T, Status>>,
    bytes: &[u8],
    part: usize,
    wrap: impl Fn(prost::bytes::Bytes) -> T,
) {
    for chunk in bytes.chunks(part.max(1)) {
        if sender.send(Ok(wrap(prost::bytes::Bytes::copy_from_slice(chunk)))).await.is_err() {
            return;
        }
    }
}

fn refused(refusal: Refusal) -> Status {
    to_status(&refusal)
}

/// Too many of something at a time.
fn busy(what: &str) -> Status {
    to_status(&Refusal::new(ErrorCode::E401, format!("expected room for one more {what}, found none; try again later")))
}
