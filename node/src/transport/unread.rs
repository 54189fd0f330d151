//! Answers that a peer does not take. HTTP/2's flow control hides from a connection that a peer has closed the window of one
//! answer: pings are answered and nothing is pending on the socket, while the answer stays in memory.
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

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
#[derive(Debug)]
pub struct Watched<B> {
    inner: B,
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
        Watched { inner, number, unread }
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.unread.state().waiting.remove(&self.number);
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // Asked for more: from here on it is the answer that is waited for, and not the peer.
        let number = self.number;
        self.unread.state().waiting.remove(&number);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_some() {
            self.unread.state().waiting.insert(number, Instant::now());
        }
        Poll::Ready(frame)
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
    use super::*;
    use std::time::Duration;

    /// A frame, a wait for the next, the end.
    struct Slow(u8);

    impl Body for Slow {
        type Data = prost::bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            self.0 += 1;
            match self.0 {
                1 => Poll::Ready(Some(Ok(Frame::data(prost::bytes::Bytes::from_static(b"part"))))),
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
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_ready());
        assert_eq!(unread.since(), Some(begun + Duration::from_secs(5)));
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
