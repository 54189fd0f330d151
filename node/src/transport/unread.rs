//! Answers that a peer does not take. HTTP/2's flow control hides from a connection that a peer has closed the window of one
//! answer: pings are answered and nothing is pending on the socket, while the answer stays in memory.
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::Instant;

/// From so many bytes on the last byte of a part goes on its own.
const LONG: usize = 1 << 10;

/// The answers of one connection that wait for the peer to take more, and since when.
#[derive(Clone, Debug, Default)]
pub struct Unread(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    begun: u64,
    waiting: BTreeMap<u64, Instant>,
}

impl Unread {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the peer has taken nothing of some answer, if it lets one wait.
    pub fn since(&self) -> Option<Instant> {
        self.state().waiting.values().min().copied()
    }
}

/// An answer whose waiting is recorded.
///
/// A part leaves here as soon as one byte of it may be sent, and the answer may be over then while nearly all of it is still
/// in memory, where nothing tells of it. So the last byte of a long part is held back: it leaves when the rest has been sent.
#[derive(Debug)]
pub struct Watched<B> {
    inner: B,
    last: Option<Bytes>,
    number: u64,
    unread: Unread,
}

impl<B> Watched<B> {
    /// Records the waiting of an answer.
    pub fn new(inner: B, unread: Unread) -> Watched<B> {
        let number = {
            let mut state = unread.state();
            state.begun += 1;
            let number = state.begun;
            state.waiting.insert(number, Instant::now());
            number
        };
        Watched { inner, last: None, number, unread }
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.unread.state().waiting.remove(&self.number);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let number = self.number;
        if let Some(last) = self.last.take() {
            self.unread.state().waiting.insert(number, Instant::now());
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        // Asked for more: from here on it is the answer that is waited for, and not the peer.
        self.unread.state().waiting.remove(&number);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_some() {
            self.unread.state().waiting.insert(number, Instant::now());
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(mut part) if part.len() > LONG => {
                    self.last = Some(part.split_off(part.len() - 1));
                    Frame::data(part)
                }
                Ok(part) => Frame::data(part),
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A frame, a wait for the next, the end.
    struct Slow(u8);

    impl Body for Slow {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            self.0 += 1;
            match self.0 {
                1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; LONG + 1]))))),
                2 => Poll::Pending,
                _ => Poll::Ready(None),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_the_peer_or_the_peer_for_the_answer() {
        let unread = Unread::default();
        let begun = Instant::now();
        let mut body = Watched::new(Slow(0), unread.clone());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_eq!(unread.since(), Some(begun));
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut part = || match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap().len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(part(), LONG);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(unread.since(), Some(begun + Duration::from_secs(5)));
        assert_eq!(part(), 1);
        assert_eq!(unread.since(), Some(begun + Duration::from_secs(10)));
        // The next part is not there yet: that is no fault of the peer.
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        assert_eq!(unread.since(), None);
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
        assert_eq!(unread.since(), None);
        let other = Watched::new(Slow(0), unread.clone());
        assert!(unread.since().is_some());
        drop((body, other));
        assert_eq!(unread.since(), None);
    }
}
