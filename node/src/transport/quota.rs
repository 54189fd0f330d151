//! How many requests a peer or an account may make: token buckets in bounded memory, as a pure function of time.
//!
//! A bucket is one number, the moment at which it is full again (the "generic cell rate algorithm"). A full bucket is
//! the same as none, so what is forgotten first is what matters least: buckets are dropped in the order in which they
//! fill up. Forgetting gives tokens and never takes any, so strangers in any number cannot slow an honest key down,
//! and to shake off a spent bucket an attacker has to spend all others more.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A peer as far as counting goes: an IPv4 address, or the /64 that one customer gets of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(IpAddr);

impl PeerKey {
    /// The key of an address. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// One token comes every `every`; at most `burst` are saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that can be saved up; at least 1.
    pub burst: u32,
    /// Time between two tokens; at least a nanosecond.
    pub every: Duration,
}

impl Rate {
    /// `per_minute` tokens a minute, of which `burst` can be saved up.
    pub fn per_minute(per_minute: u32, burst: u32) -> Self {
        Self { burst: burst.max(1), every: Duration::from_secs(60) / per_minute.max(1) }
    }
}

/// A request that comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected fewer requests, found the rate used up; try again in {} s", retry_after.as_secs().saturating_add(1))]
pub struct TooEarly {
    /// Time until the same request would be admitted.
    pub retry_after: Duration,
}

/// Buckets of one kind of key.
#[derive(Debug)]
pub struct Quota<K> {
    rate: Rate,
    /// Most buckets kept; at least 1.
    capacity: usize,
    /// When each bucket is full again, in nanoseconds. The same pairs as in `by_time`.
    full_at: BTreeMap<K, u64>,
    by_time: BTreeSet<(u64, K)>,
}

impl<K: Copy + Ord> Quota<K> {
    /// Empty; at most `capacity` buckets are ever held.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity: capacity.max(1), full_at: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Takes `cost` tokens of `key` at `now`, the time since any fixed moment.
    ///
    /// # Errors
    /// [`TooEarly`], and nothing is taken. A cost above the burst is counted as the burst, so that it can succeed.
    pub fn take(&mut self, key: K, cost: u32, now: Duration) -> Result<(), TooEarly> {
        let now = nanoseconds(now);
        let every = nanoseconds(self.rate.every).max(1);
        let burst = self.rate.burst.max(1);
        let full_at = self.full_at.get(&key).copied().unwrap_or(0).max(now);
        let after = full_at.saturating_add(every.saturating_mul(u64::from(cost.min(burst))));
        let latest = now.saturating_add(every.saturating_mul(u64::from(burst)));
        if after > latest {
            return Err(TooEarly { retry_after: Duration::from_nanos(after - latest) });
        }
        self.replace(key, after);
        self.forget(now);
        Ok(())
    }

    /// Buckets held now.
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether no bucket is held.
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    fn replace(&mut self, key: K, full_at: u64) {
        if let Some(previous) = self.full_at.insert(key, full_at) {
            self.by_time.remove(&(previous, key));
        }
        self.by_time.insert((full_at, key));
    }

    /// Drops up to two full buckets, so that memory shrinks again after a flood at a bounded cost for each call, and
    /// those above the capacity.
    fn forget(&mut self, now: u64) {
        for _ in 0..2 {
            let full = self.by_time.first().is_some_and(|&(full_at, _)| full_at <= now);
            let due = full || self.full_at.len() > self.capacity;
            if due && let Some((_, key)) = self.by_time.pop_first() {
                self.full_at.remove(&key);
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Both buckets that a request is taken from.
#[derive(Debug)]
pub struct Quotas {
    peers: Quota<PeerKey>,
    accounts: Quota<[u8; 32]>,
}

impl Quotas {
    /// Empty, with at most `capacity` peers and as many accounts.
    pub fn new(peer: Rate, account: Rate, capacity: usize) -> Self {
        Self { peers: Quota::new(peer, capacity), accounts: Quota::new(account, capacity) }
    }

    /// Counts a request before anything about it is checked.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn peer(&mut self, address: IpAddr, cost: u32, now: Duration) -> Result<(), TooEarly> {
        self.peers.take(PeerKey::of(address), cost, now)
    }

    /// Counts a request of an account. To be called after its signature is checked, or anybody could use up its rate.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn account(&mut self, account: [u8; 32], cost: u32, now: Duration) -> Result<(), TooEarly> {
        self.accounts.take(account, cost, now)
    }

    /// Buckets held now, peers and accounts.
    pub fn len(&self) -> usize {
        self.peers.len().saturating_add(self.accounts.len())
    }

    /// Whether no bucket is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_then_the_rate() {
        let mut quota = Quota::new(Rate { burst: 3, every: SECOND }, 10);
        let now = SECOND * 100;
        for _ in 0..3 {
            quota.take(1, 1, now).unwrap();
        }
        assert_eq!(quota.take(1, 1, now), Err(TooEarly { retry_after: SECOND }));
        assert_eq!(quota.take(1, 1, now + SECOND / 2), Err(TooEarly { retry_after: SECOND / 2 }));
        quota.take(1, 1, now + SECOND).unwrap();
        quota.take(2, 1, now).unwrap();
        assert!(quota.take(1, 1, now + SECOND).is_err());
        // All saved up again, and no more than that.
        for _ in 0..3 {
            quota.take(1, 1, now + SECOND * 1000).unwrap();
        }
        assert!(quota.take(1, 1, now + SECOND * 1000).is_err());
    }

    #[test]
    fn a_dear_request_takes_more_and_can_still_succeed() {
        let mut quota = Quota::new(Rate { burst: 4, every: SECOND }, 10);
        quota.take(1, 3, SECOND).unwrap();
        assert_eq!(quota.take(1, 3, SECOND), Err(TooEarly { retry_after: SECOND * 2 }));
        quota.take(1, 100, SECOND * 10).unwrap();
        assert!(quota.take(1, 1, SECOND * 10).is_err());
    }

    #[test]
    fn a_million_strangers_stay_bounded_and_the_honest_key_keeps_its_rate() {
        let mut quota = Quota::new(Rate { burst: 5, every: SECOND }, 10_000);
        let mut admitted = 0;
        for stranger in 1..=1_000_000u64 {
            // A thousand strangers a second, the honest key once a second.
            let now = Duration::from_millis(stranger);
            quota.take(stranger, 1, now).unwrap();
            if stranger % 1000 == 0 {
                quota.take(0, 1, now).unwrap();
                admitted += 1;
            }
            assert!(quota.len() <= 10_000);
        }
        assert_eq!(admitted, 1000);
        assert_eq!(quota.full_at.len(), quota.by_time.len());
    }

    #[test]
    fn a_spent_bucket_outlives_a_flood_of_strangers() {
        let mut quota = Quota::new(Rate { burst: 5, every: SECOND }, 100);
        for _ in 0..5 {
            quota.take(0, 1, SECOND).unwrap();
        }
        for stranger in 1..100_000 {
            quota.take(stranger, 1, SECOND).unwrap();
        }
        assert!(quota.take(0, 1, SECOND).is_err());
    }

    #[test]
    fn memory_shrinks_after_a_flood() {
        let mut quota = Quota::new(Rate { burst: 5, every: SECOND }, 10_000);
        for stranger in 0..10_000 {
            quota.take(stranger, 1, SECOND).unwrap();
        }
        for _ in 0..10_000 {
            let _ = quota.take(0, 1, SECOND * 100);
            let _ = quota.take(1, 1, SECOND * 200);
        }
        assert!(quota.len() < 10_000);
    }

    #[test]
    fn time_that_goes_back_does_no_harm() {
        let mut quota = Quota::new(Rate { burst: 1, every: SECOND }, 10);
        quota.take(1, 1, SECOND * 10).unwrap();
        assert!(quota.take(1, 1, SECOND).is_err());
        assert!(quota.take(2, 1, Duration::MAX).is_ok());
    }

    #[test]
    fn peers_are_counted_by_the_network_that_one_customer_gets() {
        let key = |text: &str| PeerKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn peers_and_accounts_are_counted_apart() {
        let mut quotas = Quotas::new(Rate::per_minute(60, 1), Rate::per_minute(1, 1), 10);
        let address = "192.0.2.1".parse().unwrap();
        quotas.peer(address, 1, SECOND).unwrap();
        assert!(quotas.peer(address, 1, SECOND).is_err());
        quotas.account([7; 32], 1, SECOND).unwrap();
        assert_eq!(quotas.account([7; 32], 1, SECOND), Err(TooEarly { retry_after: SECOND * 60 }));
        assert_eq!(quotas.len(), 2);
    }
}
