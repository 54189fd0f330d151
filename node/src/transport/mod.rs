//! Connections: who may open one, how long it may sit there, and how each side knows the other.
//!
//! The server's half is [`certificate`] (the node's own), [`listener`] (accept loop, TLS, caps, idle connections) and
//! [`limits`] (every number, with its reason). The client's half is [`pin`]. [`quota`] counts requests per peer and per
//! account as a pure function of time. Nothing here knows what the requests mean.
//!
//! Deliberately absent: compression (a small message must not become a large one), plain-text connections, certificate
//! authorities of the operating system (trust is a pin or a named authority).
pub mod certificate;
pub mod limits;
pub mod listener;
pub mod pin;
pub mod quota;
pub mod units;
pub mod unread;

#[cfg(test)]
pub(crate) mod testing;
