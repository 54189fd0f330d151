//! Metrics over HTTP, on an address of their own: `GET /metrics`, and `GET /healthz` for what restarts nodes.
//!
//! One request a connection, with a deadline and caps: enough for a scraper, and nothing that a stranger could hold.
//! It is served apart from gRPC, so that it still answers when every place there is taken.
use super::{ObserveError, metrics};
use metrics_exporter_prometheus::PrometheusHandle;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Requests at once; a scraper has one.
const PLACES: usize = 16;
/// Longest head of a request.
const HEAD: usize = 8 << 10;
/// Time for a whole request.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pause after an error of the listening socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time after which histograms are condensed although nobody has asked.
const UPKEEP: Duration = Duration::from_secs(5);

/// The listener of the metrics.
pub struct Exporter {
    socket: TcpListener,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Exporter").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Binds `address`.
    ///
    /// # Errors
    /// [`ObserveError::Bind`].
    pub async fn bind(address: SocketAddr, handle: PrometheusHandle) -> Result<Self, ObserveError> {
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { socket, handle }),
            Err(source) => Err(ObserveError::Bind { address, source }),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until it is dropped: spawn it, and abort the task to stop.
    pub async fn serve(self) {
        let places = Arc::new(Semaphore::new(PLACES));
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = upkeep.tick() => {
                    self.handle.run_upkeep();
                    continue;
                }
            };
            match (accepted, Arc::clone(&places).try_acquire_owned()) {
                (Ok((stream, _)), Ok(place)) => {
                    let handle = self.handle.clone();
                    tokio::spawn(async move {
                        // A scraper that is gone or too slow has itself to blame; it asks again.
                        let _ = tokio::time::timeout(DEADLINE, answer(stream, &handle)).await;
                        drop(place);
                    });
                }
                (Ok(_), Err(_)) => {}
                (Err(_), _) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn answer(mut stream: TcpStream, handle: &PrometheusHandle) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let (status, body) = match request_line(&head) {
        Some(("GET", "/metrics")) => {
            metrics::sample_process();
            ("200 OK", handle.render())
        }
        Some(("GET", "/healthz")) => ("200 OK", "ok\n".to_owned()),
        Some(("GET", _)) => ("404 Not Found", "expected /metrics or /healthz\n".to_owned()),
        Some(_) => ("405 Method Not Allowed", "expected GET\n".to_owned()),
        None => ("400 Bad Request", "expected an HTTP request\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The bytes up to the empty line, or to the limit or the end, whatever comes first.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < HEAD && !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await?;
        match buffer.get(..count) {
            Some(read) if count > 0 => head.extend_from_slice(read),
            _ => break,
        }
    }
    Ok(head)
}

/// Method and path without its query, if the head is whole.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let end = head.windows(4).position(|window| window == b"\r\n\r\n")?;
    let line = std::str::from_utf8(head.get(..end)?).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    Some((method, target.split('?').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exporter() -> SocketAddr {
        let recorder = metrics::recorder().unwrap();
        ::metrics::with_local_recorder(&recorder, || metrics::log_size(42));
        let exporter = Exporter::bind("127.0.0.1:0".parse().unwrap(), recorder.handle()).await.unwrap();
        let address = exporter.local_address().unwrap();
        tokio::spawn(exporter.serve());
        address
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut text = Vec::new();
        // The other side may close while our bytes are still under way; what came is what counts.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let address = exporter().await;
        let metrics = ask(address, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
        assert!(metrics.contains("weightproof_log_size 42"), "{metrics}");
        assert!(ask(address, b"GET /healthz HTTP/1.0\r\n\r\n").await.ends_with("ok\n"));
        assert!(ask(address, b"GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, b"POST /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert!(ask(address, b"\x16\x03\x01\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    }

    #[tokio::test]
    async fn slow_and_endless_requests_do_not_hold_it() {
        let address = exporter().await;
        let mut silent = Vec::new();
        for _ in 0..PLACES - 1 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let endless = ask(address, &vec![b'a'; HEAD]).await;
        assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 400"), "{endless}");
        let metrics = ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").await;
        assert!(metrics.contains("weightproof_log_size 42"), "{metrics}");
    }
}
