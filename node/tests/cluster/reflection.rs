//! A client that knows the node's address and certificate and nothing else: what can be called, and with which messages,
//! it learns by reflection, as `grpcurl` does. And a scan by such a client: what it finds is all that there is (E11).
use std::collections::BTreeSet;
use std::time::Duration;

use super::harness::*;
use http::uri::PathAndQuery;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// Messages of a kind that was learned: their bytes on the wire, and JSON for people.
#[derive(Clone)]
struct Learned(MessageDescriptor);

impl Codec for Learned {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Learned;
    type Decoder = Learned;
    fn encoder(&mut self) -> Learned {
        self.clone()
    }
    fn decoder(&mut self) -> Learned {
        self.clone()
    }
}

impl Encoder for Learned {
    type Item = DynamicMessage;
    type Error = Status;
    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Learned {
    type Item = DynamicMessage;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// What a node says of itself.
struct Reflected {
    services: BTreeSet<String>,
    pool: DescriptorPool,
}

/// The two versions of reflection in use differ in their names alone.
macro_rules! reflection {
    ($version:ident) => {
        mod $version {
            use super::Reflected;
            use prost_reflect::DescriptorPool;
            use prost_reflect::prost::Message as _;
            use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
            use std::collections::BTreeMap;
            use tonic::Status;
            use tonic::transport::Channel;
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            /// One question on a stream of its own.
            pub async fn ask(channel: &Channel, question: MessageRequest) -> Result<MessageResponse, Status> {
                let mut client = ServerReflectionClient::new(channel.clone());
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(question) };
                let mut answers =
                    client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
                let answer = answers.message().await?.ok_or_else(|| Status::internal("no answer"))?;
                answer.message_response.ok_or_else(|| Status::internal("an empty answer"))
            }

            /// Files with a symbol or a name.
            pub async fn files(channel: &Channel, question: MessageRequest) -> Vec<FileDescriptorProto> {
                match ask(channel, question).await.unwrap() {
                    MessageResponse::FileDescriptorResponse(found) => {
                        let files = found.file_descriptor_proto.iter();
                        files.map(|bytes| FileDescriptorProto::decode(bytes.as_slice()).unwrap()).collect()
                    }
                    other => panic!("{other:?}"),
                }
            }

            /// Lists the services, asks for the file of each, and for what those import.
            pub async fn learn(channel: &Channel) -> Reflected {
                let listed = match ask(channel, MessageRequest::ListServices(String::new())).await.unwrap() {
                    MessageResponse::ListServicesResponse(listed) => listed,
                    other => panic!("{other:?}"),
                };
                let services: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
                let mut known = BTreeMap::new();
                for service in &services {
                    let mut open =
                        files(channel, MessageRequest::FileContainingSymbol(service.clone())).await;
                    while let Some(file) = open.pop() {
                        for dependency in &file.dependency {
                            if !known.contains_key(dependency) {
                                let question = MessageRequest::FileByFilename(dependency.clone());
                                open.extend(files(channel, question).await);
                            }
                        }
                        known.insert(file.name().to_owned(), file);
                    }
                }
                let set = FileDescriptorSet { file: known.into_values().collect() };
                let pool =
                    DescriptorPool::from_file_descriptor_set(set).expect("all that is imported was found");
                let count = services.len();
                let services: std::collections::BTreeSet<_> = services.into_iter().collect();
                assert_eq!(services.len(), count, "each service is listed once");
                Reflected { services, pool }
            }
        }
    };
}
reflection!(v1);
reflection!(v1alpha);

impl Reflected {
    /// Begins a call with one message given as JSON. On the wire, a call with one message is like any other.
    async fn begin(
        &self,
        channel: &Channel,
        service: &str,
        method: &str,
        request: Value,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let service = self.pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|found| found.name() == method).unwrap();
        let request = DynamicMessage::deserialize(method.input(), request).unwrap();
        let path = PathAndQuery::try_from(format!("/{}/{}", service.full_name(), method.name())).unwrap();
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let answers =
            client.streaming(Request::new(tokio_stream::once(request)), path, Learned(method.output()));
        Ok(answers.await?.into_inner())
    }

    /// Calls and gives the first answer as JSON.
    async fn call(
        &self,
        channel: &Channel,
        service: &str,
        method: &str,
        request: Value,
    ) -> Result<Value, Status> {
        let mut answers = self.begin(channel, service, method, request).await?;
        let answer = answers.message().await?.ok_or_else(|| Status::internal("no answer"))?;
        Ok(serde_json::to_value(answer).unwrap())
    }

    /// `service/method` of all that can be called.
    fn methods(&self) -> Vec<(String, String)> {
        let services = self.services.iter().map(|name| self.pool.get_service_by_name(name).unwrap());
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        methods
            .map(|method| (method.parent_service().full_name().to_owned(), method.name().to_owned()))
            .collect()
    }
}

/// What the node should list: its own services, health, and the reflection that was asked.
fn expected_services(version: &str) -> BTreeSet<String> {
    let own = FileDescriptorSet::decode(weightproof_node::rpc::DESCRIPTORS).unwrap();
    let own = own.file.iter().flat_map(|file| {
        file.service
            .iter()
            .map(|service| format!("{}.{}", file.package(), service.name()))
            .collect::<Vec<_>>()
    });
    let more = ["grpc.health.v1.Health".to_owned(), format!("grpc.reflection.{version}.ServerReflection")];
    own.chain(more).collect()
}

fn started(folder: &std::path::Path) -> Node {
    let mut node = Node::new(folder, &space(policy(1)), &[(account(&signing_key(1)), 1_000)]);
    node.start();
    node
}

#[test]
fn reflection_is_all_that_a_generic_client_needs() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = started(folder.path());
    run(async {
        let channel = node.connect().await.unwrap();
        for (version, node) in
            [("v1", v1::learn(&channel).await), ("v1alpha", v1alpha::learn(&channel).await)]
        {
            assert_eq!(node.services, expected_services(version));

            let health = node.call(&channel, "grpc.health.v1.Health", "Check", json!({})).await.unwrap();
            assert_eq!(health, json!({"status": "SERVING"}));

            const SPACES: &str = "weightproof.v1.SpacesService";
            let listed = node.call(&channel, SPACES, "ListSpaces", json!({})).await.unwrap();
            let summary = &listed["spaces"][0];
            assert_eq!(summary["name"], "tiny", "{listed}");
            let whole = node.call(&channel, SPACES, "DescribeSpace", json!({"space": "tiny"})).await.unwrap();
            assert_eq!(whole["summary"]["space"], summary["space"]);
            assert_eq!(whole["policy"]["bond"], "40", "64-bit numbers are text in JSON");
            assert!(whole["programToml"].as_str().unwrap().contains("softmax-cross-entropy"), "{whole}");

            const ROUNDS: &str = "weightproof.v1.RoundsService";
            let request = json!({"space": summary["space"]});
            let current = node.call(&channel, ROUNDS, "GetCurrentRound", request.clone()).await.unwrap();
            assert_eq!(current["round"]["space"], summary["space"], "{current}");
            // A stream gives the present round at once and stays open.
            let mut rounds = node.begin(&channel, ROUNDS, "WatchRounds", request).await.unwrap();
            let first = serde_json::to_value(rounds.message().await.unwrap().unwrap()).unwrap();
            assert_eq!(first["round"], current["round"]);
            let next = tokio::time::timeout(Duration::from_millis(300), rounds.message()).await;
            assert!(next.is_err(), "{next:?}");

            // A refusal says what is wrong.
            let refused = node.call(&channel, SPACES, "DescribeSpace", json!({"space": "none"})).await;
            assert!(code(&refused.unwrap_err()).starts_with('E'));
        }
    });
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_file_comes_by_any_symbol_in_it_and_a_strange_one_is_refused() {
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let folder = tempfile::tempdir().unwrap();
    let node = started(folder.path());
    run(async {
        let channel = node.connect().await.unwrap();
        for symbol in [
            "weightproof.v1.RoundsService",
            "weightproof.v1.RoundsService.WatchRounds",
            "weightproof.v1.Round",
            "weightproof.v1.Round.beacon",
        ] {
            let found = v1::files(&channel, MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
            assert_eq!(found[0].name(), "weightproof/v1/rounds.proto", "{symbol}");
        }
        for strange in [
            MessageRequest::FileContainingSymbol("weightproof.v1.AdminService".to_owned()),
            MessageRequest::FileByFilename("../../../etc/passwd".to_owned()),
        ] {
            let shown: String = format!("{strange:?}").chars().take(80).collect();
            let status = v1::ask(&channel, strange).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{shown}: {status:?}");
        }
        // A name that is too long for a status to repeat.
        let long = MessageRequest::FileContainingSymbol("x".repeat(100_000));
        assert!(v1::ask(&channel, long).await.is_err());
        // No message has extensions; asking is no fault, and grpcurl always asks.
        let question = MessageRequest::AllExtensionNumbersOfType("weightproof.v1.Round".to_owned());
        v1::ask(&channel, question).await.unwrap();
        // The connection goes on.
        v1::learn(&channel).await;
    });
}

#[test]
fn a_scan_finds_what_is_listed_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = started(folder.path());
    run(async {
        let channel = node.connect().await.unwrap();
        let known = v1::learn(&channel).await;
        let log = async || {
            known.call(&channel, "weightproof.v1.LogService", "GetCheckpoint", json!({})).await.unwrap()
        };
        let before = log().await;
        let mut changing = BTreeSet::new();
        for (service, method) in known.methods() {
            // Whoever changes something signs it: the others need no authorization and only read.
            let descriptor = known.pool.get_service_by_name(&service).unwrap();
            let input = descriptor.methods().find(|found| found.name() == method).unwrap().input();
            let signed = ["authorization", "signature", "upload"]
                .iter()
                .any(|name| input.get_field_by_name(name).is_some());
            let empty = known.call(&channel, &service, &method, json!({}));
            match tokio::time::timeout(Duration::from_secs(2), empty).await {
                Ok(Err(status)) => {
                    assert_ne!(status.code(), Code::Unimplemented, "{service}/{method} is listed")
                }
                Ok(Ok(answer)) => assert!(!signed, "{service}/{method} without a signature: {answer}"),
                Err(_) => assert!(!signed && method.starts_with("Watch"), "{service}/{method} hangs"),
            }
            if signed {
                changing.insert(method);
            }
        }
        let expected = [
            "BeginContribution",
            "Join",
            "RegisterDataset",
            "ReportEquivocation",
            "RevokeKey",
            "RotateKey",
            "Stake",
            "Transfer",
            "Unstake",
            "UploadContribution",
        ];
        assert!(changing.iter().eq(&expected), "{changing:?}");
        // What others have and this node has not.
        for path in [
            "/weightproof.v1.AdminService/Stop",
            "/weightproof.v1.SpacesService/CreateSpace",
            "/weightproof.v1.SpacesService/liststpaces",
            "/weightproof.v2.SpacesService/ListSpaces",
            "/grpc.channelz.v1.Channelz/GetServers",
            "/grpc.admin.v1.Admin/Get",
            "/grpc.health.v1.Health/List",
            "/metrics",
            "/",
        ] {
            let codec = Learned(known.pool.get_message_by_name("weightproof.v1.ListSpacesRequest").unwrap());
            let request = DynamicMessage::new(codec.0.clone());
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let answer = client.unary(Request::new(request), PathAndQuery::from_static(path), codec).await;
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        }
        assert_eq!(log().await, before);
    });
    #[cfg(target_os = "linux")]
    {
        let port = |address: &str| address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        assert_eq!(listening(folder.path()), [port(&node.address), port(&node.metrics)].into(), "ports");
    }
}

/// Ports on which the node of a folder listens.
#[cfg(target_os = "linux")]
fn listening(folder: &std::path::Path) -> BTreeSet<u16> {
    let folder = folder.display().to_string();
    let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().ok()?;
        name.parse::<u32>().ok()
    });
    let of_node = |id: &u32| {
        // Another process may have ended in the meantime.
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    let id = numbers.into_iter().find(of_node).expect("the node runs");
    let sockets: BTreeSet<String> = std::fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // The tenth field is the socket's number; state 0A is "listens".
            if fields[3] == "0A" && sockets.contains(fields[9]) {
                ports.insert(u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports
}
