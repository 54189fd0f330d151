//! Every method that the node has, with what no client of ours would send. The list of methods is the node's own, so a new one
//! cannot be left out.
use std::time::Duration;

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};
use tonic::Code;
use weightproof_node::rpc::DESCRIPTORS;

use super::super::harness::*;
use super::strangers::{Raw, framed, peer};

/// Methods that take no argument at all: any message that can be read is a good one.
const WITHOUT_ARGUMENT: [&str; 4] = ["DescribeNode", "ListSpaces", "GetSupply", "GetCheckpoint"];
/// Methods whose arguments are all optional: an empty message is a good one.
const ALL_OPTIONAL: [&str; 3] = ["WatchVerdicts", "StreamEntries", "GetConsistencyProof"];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// A message with bytes of a length everywhere, and the largest numbers.
fn filled(kind: &MessageDescriptor, length: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        let value = match field.kind() {
            Kind::Bytes => Value::Bytes(vec![0xff; length].into()),
            Kind::String => Value::String("\u{0}\n\u{202e}".repeat(length)),
            Kind::Uint64 => Value::U64(u64::MAX),
            Kind::Uint32 => Value::U32(u32::MAX),
            Kind::Message(inner) => Value::Message(filled(&inner, length)),
            kind => panic!("{kind:?} of {}: a new kind of field needs a value here", field.full_name()),
        };
        message.set_field(&field, value);
    }
    message
}

#[test]
fn what_is_malformed_is_refused_by_every_method_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.set("limits.peer_requests_per_minute", "1000000");
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        holder.enter(&channel, 100).await.unwrap();
        let task = holder.next_task(&channel, 0).await.unwrap();
        let before = (checkpoint(&channel).await, balance(&channel, holder.account()).await);
        let methods = methods();
        assert!(methods.len() >= 25, "{}", methods.len());
        let raw = Raw::connect(&node.address, peer(66, 1), 1 << 20).await.unwrap();
        for method in &methods {
            let (path, name, input) = (path(method), method.name(), method.input());
            let ask = async |what: &str, body: Vec<u8>| {
                let answer = tokio::time::timeout(Duration::from_secs(20), raw.call(&path, &[], body)).await;
                let answer = answer.unwrap_or_else(|_| panic!("{name}, {what}: no answer"));
                answer.unwrap_or_else(|error| panic!("{name}, {what}: {error}"))
            };
            let refuse = async |what: &str, body: Vec<u8>, codes: &[&str]| {
                let answer = ask(what, body).await;
                assert!(codes.contains(&answer.code.as_str()), "{name}, {what}: {answer:?}");
                assert!(answer.message.starts_with(&answer.code), "{name}, {what}: {answer:?}");
                assert!(answer.grpc.is_some_and(|code| code != Code::Ok), "{name}, {what}: {answer:?}");
            };
            // Bytes that are no message at all.
            refuse("no message", Vec::new(), &["E106"]).await;
            refuse("half a frame", vec![0, 0, 0], &["E101"]).await;
            refuse("less than announced", [0, 0, 0, 0, 9, 1].to_vec(), &["E101"]).await;
            refuse("a kind of frame that there is not", vec![7, 0, 0, 0, 0], &["E101"]).await;
            refuse("compressed without saying how", vec![1, 0, 0, 0, 0], &["E101"]).await;
            refuse("4 GiB announced", vec![0, 0xff, 0xff, 0xff, 0xff, 1], &["E403"]).await;
            refuse("an unfinished varint", framed(&[0x0a, 0xff, 0xff, 0xff]), &["E101"]).await;
            refuse("a varint of 11 bytes", framed(&[0xff; 11]), &["E101"]).await;
            refuse("a length beyond the end", framed(&[0x0a, 0x80, 0x80, 0x80, 0x80, 0x08]), &["E101"]).await;
            refuse("a group without end", framed(&[0x0b].repeat(3000)), &["E101"]).await;
            refuse("tag 0", framed(&[0x00, 0x00]), &["E101"]).await;
            let compressed = raw.call(&path, &[("grpc-encoding", "gzip")], framed(&[])).await.unwrap();
            assert_eq!(
                (compressed.code.as_str(), compressed.grpc),
                ("E105", Some(Code::Unimplemented)),
                "{name}"
            );
            if WITHOUT_ARGUMENT.contains(&name) {
                continue;
            }
            // Messages that can be read and say nothing that could be done.
            if !ALL_OPTIONAL.contains(&name) {
                refuse("nothing in it", framed(&[]), &["E103", "E106", "E201"]).await;
            }
            let named = ["E101", "E103", "E104", "E106", "E201", "E203", "E205", "E403"];
            for length in [1, 31, 33, 63, 65, 200] {
                let body = framed(&filled(&input, length).encode_to_vec());
                if name == "StreamEntries" {
                    // From beyond the end: an end at once, and no error.
                    assert_eq!(ask("beyond the end", body).await.grpc, Some(Code::Ok));
                    break;
                }
                refuse(&format!("fields of {length} bytes"), body, &named).await;
            }
            // The right lengths of something that is not there, and numbers without bound. A balance or a verdict of nobody
            // is an answer; so are the verdicts of a space that is to come.
            let body = framed(&filled(&input, 32).encode_to_vec());
            if name == "WatchVerdicts" {
                continue;
            }
            let answer = ask("fields of 32 bytes", body).await;
            let harmless = matches!(
                name,
                "GetBalance" | "ListHistory" | "DescribeAccount" | "GetVerdict" | "StreamEntries"
            );
            assert_eq!(answer.code.is_empty(), harmless, "{name}: {answer:?}");
            if !harmless {
                assert!(named.contains(&answer.code.as_str()), "{name}: {answer:?}");
            }
        }
        let unknown = raw.call("/weightproof.v1.LedgerService/Mint", &[], framed(&[])).await.unwrap();
        assert_eq!((unknown.code.as_str(), unknown.grpc), ("E105", Some(Code::Unimplemented)));
        // Ten thousand names that there are not: no label and no line of a log of their own.
        for number in 0..200 {
            let path = format!("/weightproof.v1.Ledger{number}/{}", "x".repeat(500));
            assert_eq!(raw.call(&path, &[], framed(&[])).await.unwrap().grpc, Some(Code::Unimplemented));
        }
        assert!(!raw.is_closed());
        assert_eq!((checkpoint(&channel).await, balance(&channel, holder.account()).await), before);
        // And the honest work goes on.
        let verdict = holder.submit(&channel, &network, &holder.prove(&task)).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");
    });
    assert_eq!(node.stop(), Some(0));
}
