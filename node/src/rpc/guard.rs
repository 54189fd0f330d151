//! What every request passes before and after its method: the peer's rate, the size of what is not an upload, and a stable
//! code in whatever the library refuses by itself.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};

use prost::bytes::{Buf, Bytes};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

use super::context::Context;
use super::status::{CODE_KEY, to_status, typed};
use crate::transport::listener::PeerInfo;

/// Longest request that is no upload. Evidence is the longest: two signed statements, each of at most a kilobyte. A
/// connection may have many requests under way, and each is held in memory before anything about it is known.
const MAXIMUM_REQUEST: usize = 4 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The layer.
#[derive(Clone)]
pub struct GuardLayer {
    context: Arc<Context>,
    uploads: &'static [&'static str],
}

impl GuardLayer {
    /// `uploads` are the paths with a stream of long messages from the client.
    pub fn new(context: Arc<Context>, uploads: &'static [&'static str]) -> GuardLayer {
        GuardLayer { context, uploads }
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
    B: Default + Send + 'static,
{
    type Response = http::Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Task<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if let Some(peer) = request.extensions().get::<PeerInfo>()
            && let Err(refusal) = self.layer.context.count_peer(peer.address.ip())
        {
            // tonic turns a status that comes as an error into the answer.
            return Box::pin(std::future::ready(Err(to_status(&refusal).into())));
        }
        let upload = self.layer.uploads.contains(&request.uri().path());
        let request = if upload { request } else { request.map(|body| Body::new(Short::new(body))) };
        let answer = self.inner.call(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => Ok(with_code(answer)),
                Err(error) => Err(match error.into().downcast::<Status>() {
                    Ok(status) => typed(*status).into(),
                    Err(error) => error,
                }),
            }
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
                let text = format!("expected a request of at most {MAXIMUM_REQUEST} bytes, found more; send less");
                Poll::Ready(Some(Err(to_status(&Refusal::new(ErrorCode::E403, text)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
