//! What a collector of traces gets: methods and changes, and nobody's name.
use super::harness::*;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[test]
fn a_collector_gets_requests_verifications_and_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    let collector = Collector::default();
    run(async {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        node.set("log.traces", &format!("http://{}", socket.local_addr().unwrap()));
        let service = TraceServiceServer::new(collector.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        let serving = tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(socket)));
        node.start();
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        holder.enter(&channel, 100).await.unwrap();
        let task = holder.next_task(&channel, 0).await.unwrap();
        assert!(holder.submit(&channel, &network, &holder.prove(&task)).await.unwrap().accepted);
        drop(channel);
        // What was not sent yet is sent at the end.
        assert_eq!(tokio::task::block_in_place(|| node.stop()), Some(0));
        serving.abort();
    });
    let requests = collector.0.lock().unwrap();
    let spans =
        requests.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
    let names: Vec<&str> = spans.flat_map(|scope| &scope.spans).map(|span| span.name.as_str()).collect();
    for expected in ["request", "verify", "change"] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    let text = format!("{requests:?}");
    let hex: String = holder.account().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.contains("UploadContribution") && !text.contains(&hex), "an account in a trace");
}
