//! Traces for an OpenTelemetry collector: one span a request, one for each verification and each change.
//!
//! Spans name methods, codes and log entries; no account, peer, statement or row is in any.
use super::ObserveError;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// Where this process's traces go. Dropping it sends what is left.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends to a collector (OTLP over gRPC). To be called within a runtime; a collector that is away loses traces and
    /// stops nothing.
    ///
    /// # Errors
    /// [`ObserveError::Traces`] when the endpoint is no URL.
    pub fn to(endpoint: &str) -> Result<Traces, ObserveError> {
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(|error| {
                ObserveError::Traces { endpoint: super::clip(endpoint), reason: error.to_string() }
            })?;
        let resource = Resource::builder()
            .with_service_name("weightproof")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Traces { provider })
    }

    /// The layer that turns spans into traces.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> OpenTelemetryLayer<S, Tracer> {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("weightproof"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // The last traces are lost with a collector that does not answer.
        let _ = self.provider.shutdown();
    }
}
