//! What every request passes before and after its method: the peer's rate, the size of what is not an upload, a stable code
//! in whatever the library refuses by itself, and the figures about it.
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Instant;

use prost::Message;
use prost::bytes::{Buf, Bytes};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

use super::DESCRIPTORS;
use super::context::Context;
use super::status::{CODE_KEY, to_status, typed};
use crate::observe::metrics;
use crate::transport::listener::PeerInfo;
use crate::transport::unread::Watched;

/// Longest request that is no upload. Evidence is the longest: two signed statements, each of at most a kilobyte. A
/// connection may have many requests under way, and each is held in memory before anything about it is known.
pub const MAXIMUM_REQUEST: usize = 4 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The layer.
#[derive(Clone)]
pub struct GuardLayer {
    context: Arc<Context>,
    uploads: &'static [&'static str],
    methods: Arc<BTreeMap<String, &'static str>>,
}

/// The names under which methods are counted, by path: a stranger's path never becomes one.
fn methods() -> BTreeMap<String, &'static str> {
    let mut methods = BTreeMap::new();
    for file in prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                // Once for each of a few methods.
                methods.insert(path, &*Box::leak(method.name().to_owned().into_boxed_str()));
            }
        }
    }
    methods
}

impl GuardLayer {
    /// `uploads` are the paths with a stream of long messages from the client.
    pub fn new(context: Arc<Context>, uploads: &'static [&'static str]) -> GuardLayer {
        GuardLayer { context, uploads, methods: Arc::new(methods()) }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, layer: self.clone() }
    }
}

/// The service of a [`GuardLayer`].
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    layer: GuardLayer,
}

impl<S, B> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: tonic::codegen::Body<Data = Bytes> + Default + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Task<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (began, path) = (Instant::now(), request.uri().path());
        let method = self.layer.methods.get(path).copied().unwrap_or("other");
        let peer = request.extensions().get::<PeerInfo>().cloned();
        if let Some(peer) = &peer
            && let Err(refusal) = self.layer.context.count_peer(peer.address.ip())
        {
            let status = to_status(&refusal);
            metrics::request(method, status.code(), began.elapsed());
            // tonic turns a status that comes as an error into the answer.
            return Box::pin(std::future::ready(Err(status.into())));
        }
        let upload = self.layer.uploads.contains(&path);
        let request = if upload { request } else { request.map(|body| Body::new(Short::new(body))) };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (answer, code) = match answer.await {
                Ok(answer) => {
                    let answer = with_code(answer);
                    let status = Status::from_header_map(answer.headers());
                    let code = status.map_or(tonic::Code::Ok, |status| status.code());
                    // Nobody may let answers lie around.
                    let unread = peer.map(|peer| peer.unread).unwrap_or_default();
                    (Ok(answer.map(|body| Body::new(Watched::new(body, unread)))), code)
                }
                Err(error) => match error.into().downcast::<Status>() {
                    Ok(status) => {
                        let status = typed(*status);
                        let code = status.code();
                        (Err(status.into()), code)
                    }
                    Err(error) => (Err(error), tonic::Code::Unknown),
                },
            };
            // Of a stream: until it began.
            metrics::request(method, code, began.elapsed());
            answer
        })
    }
}

/// An answer that is a refusal, with its stable code.
fn with_code<B: Default>(answer: http::Response<B>) -> http::Response<B> {
    let headers = answer.headers();
    if !headers.contains_key("grpc-status") || headers.contains_key(CODE_KEY) {
        return answer;
    }
    match Status::from_header_map(headers) {
        Some(status) if status.code() != tonic::Code::Ok => typed(status).into_http(),
        _ => answer,
    }
}

/// A body of at most [`MAXIMUM_REQUEST`] bytes.
struct Short {
    inner: Body,
    left: usize,
}

impl Short {
    fn new(inner: Body) -> Short {
        // A message has five bytes before it.
        Short { inner, left: MAXIMUM_REQUEST + 5 }
    }
}

impl tonic::codegen::Body for Short {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Task<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let length = frame.data_ref().map_or(0, Buf::remaining);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                let text =
                    format!("expected a request of at most {MAXIMUM_REQUEST} bytes, found more; send less");
                Poll::Ready(Some(Err(to_status(&Refusal::new(ErrorCode::E403, text)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
