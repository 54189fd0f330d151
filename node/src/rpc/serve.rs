//! The server: every service with its limits, health, reflection, and an orderly end.
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::service::Routes;

use super::context::Context;
use super::guard::{GuardLayer, MAXIMUM_REQUEST};
use super::services::Services;
use super::{DESCRIPTORS, v1};
use crate::transport::limits::{DeadlineLayer, server};
use crate::transport::listener::Incoming;

/// Paths with a stream from the client: they have a longer deadline.
const UPLOADS: &[&str] = &["/weightproof.v1.ContributionsService/UploadContribution"];

/// Serves until `stop` is done, and then until the requests under way are answered, or `grace` is over.
///
/// # Errors
/// The transport's.
pub async fn serve(
    context: Arc<Context>,
    incoming: Incoming,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> Result<(), tonic::transport::Error> {
    let limits = context.limits.clone();
    let routes = routes(&context).await;
    let (ending, ended) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = ending.send(());
    };
    let serving = server(&limits)
        .trace_fn(
            |request| tracing::info_span!("request", method = %crate::observe::clip(request.uri().path())),
        )
        .layer(GuardLayer::new(context, UPLOADS))
        .layer(DeadlineLayer::new(&limits, UPLOADS))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop);
    tokio::select! {
        result = serving => result,
        // Watchers stay as long as they like: the grace is for requests.
        () = async { let _ = ended.await; tokio::time::sleep(grace).await } => Ok(()),
    }
}

async fn routes(context: &Arc<Context>) -> Routes {
    let services = Services(Arc::clone(context));
    let size = context.limits.message_size();
    // A part of a contribution, its name and its place. Announcements come to the same service, and the guard keeps them short.
    let part = size.min(context.limits.chunk_size() + MAXIMUM_REQUEST);
    macro_rules! limited {
        ($server:path, $request:expr) => {
            <$server>::new(services.clone())
                .max_decoding_message_size($request)
                .max_encoding_message_size(4 * size)
        };
        ($server:path) => {
            limited!($server, MAXIMUM_REQUEST)
        };
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let mut routes = Routes::new(health);
    routes = routes
        .add_service(limited!(v1::spaces_service_server::SpacesServiceServer<Services>))
        .add_service(limited!(v1::members_service_server::MembersServiceServer<Services>))
        .add_service(limited!(v1::datasets_service_server::DatasetsServiceServer<Services>))
        .add_service(limited!(v1::rounds_service_server::RoundsServiceServer<Services>))
        .add_service(limited!(v1::contributions_service_server::ContributionsServiceServer<Services>, part))
        .add_service(limited!(v1::models_service_server::ModelsServiceServer<Services>))
        .add_service(limited!(v1::ledger_service_server::LedgerServiceServer<Services>))
        .add_service(limited!(v1::log_service_server::LogServiceServer<Services>));
    // Both versions of the reflection service: tools in use speak one or the other. The descriptors are our own and whole.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    if let Ok(service) = reflection().build_v1() {
        routes = routes.add_service(service);
    }
    if let Ok(service) = reflection().build_v1alpha() {
        routes = routes.add_service(service);
    }
    routes
}
