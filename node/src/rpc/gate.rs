//! Places for what holds memory while a stranger takes its time. No peer gets them all, so that a single one cannot keep
//! the others out; who finds none waits for a moment in the order of coming.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::quota::PeerKey;

/// Places.
#[derive(Debug)]
pub struct Gate {
    total: usize,
    share: usize,
    common: Arc<Semaphore>,
    /// Only peers that hold a place or wait for one.
    peers: Mutex<BTreeMap<PeerKey, Peer>>,
}

#[derive(Debug)]
struct Peer {
    inside: usize,
    own: Arc<Semaphore>,
}

impl Gate {
    /// So many places, and so many of them for one peer.
    pub fn new(total: usize, share: usize) -> Arc<Gate> {
        let common = Arc::new(Semaphore::new(total));
        Arc::new(Gate { total, share: share.clamp(1, total.max(1)), common, peers: Mutex::default() })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.total.saturating_sub(self.common.available_permits())
    }

    /// A place for a peer; `None` when there was none within `patience`.
    pub async fn enter(self: &Arc<Gate>, peer: Option<PeerKey>, patience: Duration) -> Option<Pass> {
        let own = peer.map(|key| {
            let mut peers = self.peers();
            let peer = peers
                .entry(key)
                .or_insert_with(|| Peer { inside: 0, own: Arc::new(Semaphore::new(self.share)) });
            peer.inside += 1;
            (Inside { gate: Arc::clone(self), key }, Arc::clone(&peer.own))
        });
        let places = async {
            // The peer's own share first: who waits for that must not keep others from the common places.
            let (inside, own) = match own {
                Some((inside, own)) => (Some(inside), Some(own.acquire_owned().await.ok()?)),
                None => (None, None),
            };
            let common = Arc::clone(&self.common).acquire_owned().await.ok()?;
            Some(Pass { _places: (own, common), _inside: inside })
        };
        tokio::time::timeout(patience, places).await.ok().flatten()
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerKey, Peer>> {
        // Nothing panics while it is held.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub struct Pass {
    _places: (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit),
    // Last: while the peer's semaphore has permits out, it stays known.
    _inside: Option<Inside>,
}

#[derive(Debug)]
struct Inside {
    gate: Arc<Gate>,
    key: PeerKey,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut peers = self.gate.peers();
        if let Some(peer) = peers.get_mut(&self.key) {
            peer.inside = peer.inside.saturating_sub(1);
            if peer.inside == 0 {
                peers.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Option<PeerKey> {
        Some(PeerKey::of([192, 0, 2, last].into()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_gets_its_share_and_no_more() {
        let gate = Gate::new(3, 2);
        let soon = Duration::from_secs(1);
        let first = gate.enter(peer(1), soon).await.unwrap();
        let _second = gate.enter(peer(1), soon).await.unwrap();
        assert!(gate.enter(peer(1), soon).await.is_none());
        let _other = gate.enter(peer(2), Duration::ZERO).await.unwrap();
        assert_eq!(gate.taken(), 3);
        assert!(gate.enter(peer(3), soon).await.is_none());
        // Who waits gets the place that becomes free.
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(peer(1), Duration::from_secs(60)).await }
        });
        tokio::time::sleep(soon).await;
        drop(first);
        assert!(waiting.await.unwrap().is_some());
        assert_eq!(gate.taken(), 2);
    }

    #[tokio::test]
    async fn peers_that_left_are_forgotten() {
        let gate = Gate::new(2, 1);
        let held = gate.enter(peer(1), Duration::ZERO).await;
        assert!(gate.enter(peer(1), Duration::ZERO).await.is_none());
        drop(held);
        assert!(gate.peers().is_empty());
        assert_eq!(gate.taken(), 0);
    }
}
