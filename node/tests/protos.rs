//! The interface as others read it: its style, and that nothing in it changes under those who were built against it.
//!
//! Every field, call and value stands in `specs/proto/baseline.txt`, a line each. A line that is gone or reads otherwise
//! breaks clients that exist, so it fails; a new one is recorded with
//!
//! ```text
//! WEIGHTPROOF_RECORD_PROTOS=1 cargo test -p weightproof-node --test protos
//! ```
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prost_reflect::prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

const PACKAGE: &str = "weightproof.v1";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/proto")
}

/// Every `.proto` file below a folder, compiled with its comments.
fn compile(root: &Path) -> FileDescriptorSet {
    let folder = root.join(PACKAGE.replace('.', "/"));
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let mut compiler = protox::Compiler::new([root]).unwrap();
    compiler.include_source_info(true).include_imports(true).open_files(files).unwrap();
    compiler.file_descriptor_set()
}

/// The comment before the thing at a path of a file's descriptor.
fn comment<'a>(file: &'a FileDescriptorProto, path: &[i32]) -> Option<&'a str> {
    let locations = &file.source_code_info.as_ref()?.location;
    let found = locations.iter().find(|location| location.path == path)?;
    found.leading_comments.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

// Numbers of `descriptor.proto`, of which a comment's path consists.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const FIELDS: i32 = 2;
const METHODS: i32 = 2;

/// Finds what is not as the rest of the interface is.
#[derive(Default)]
struct Lint {
    problems: Vec<String>,
    /// Requests and responses, and the call of each.
    of_calls: BTreeMap<String, String>,
}

impl Lint {
    fn of(set: &FileDescriptorSet) -> Vec<String> {
        let mut lint = Lint::default();
        set.file.iter().for_each(|file| lint.services(file));
        set.file.iter().for_each(|file| lint.file(file));
        lint.problems
    }

    fn problem(&mut self, place: &str, text: impl std::fmt::Display) {
        self.problems.push(format!("{place}: {text}"));
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        let name = file.name();
        if file.syntax() != "proto3" {
            self.problem(name, "expected syntax proto3");
        }
        if file.package() != PACKAGE {
            self.problem(name, format!("expected package {PACKAGE}, found {}", file.package()));
        }
        if Path::new(name).parent() != Some(Path::new(&file.package().replace('.', "/"))) {
            self.problem(name, format!("expected a file in the folder of its package {}", file.package()));
        }
        for (index, message) in file.message_type.iter().enumerate() {
            self.message(file, &[MESSAGES, index as i32], message);
        }
        for (index, value) in file.enum_type.iter().enumerate() {
            self.enumeration(file, &[ENUMS, index as i32], value);
        }
        let used = used_types(file);
        for dependency in
            file.dependency.iter().filter(|dependency| *dependency != "weightproof/v1/common.proto")
        {
            self.problem(name, format!("expected to import common.proto alone, found {dependency}"));
        }
        let common = ["Authorization", "Logged"].map(|name| format!(".{PACKAGE}.{name}"));
        if !file.dependency.is_empty() && !common.iter().any(|name| used.contains(name)) {
            self.problem(name, "expected to use what it imports");
        }
    }

    fn services(&mut self, file: &FileDescriptorProto) {
        if file.service.len() > 1 {
            self.problem(file.name(), "expected one service in a file");
        }
        for (place, service) in file.service.iter().enumerate() {
            let path = [SERVICES, place as i32];
            let name = service.name();
            if !name.ends_with("Service") || !is_upper_camel(name) {
                self.problem(name, "expected a name such as RoundsService");
            }
            if comment(file, &path).is_none() {
                self.problem(name, "expected a comment");
            }
            for (index, method) in service.method.iter().enumerate() {
                let call = format!("{name}.{}", method.name());
                if !is_upper_camel(method.name()) {
                    self.problem(&call, "expected a name such as GetCurrentRound");
                }
                if comment(file, &[path[0], path[1], METHODS, index as i32]).is_none() {
                    self.problem(&call, "expected a comment");
                }
                let kinds = [("Request", method.input_type()), ("Response", method.output_type())];
                for (kind, found) in kinds {
                    let expected = format!(".{PACKAGE}.{}{kind}", method.name());
                    if found != expected {
                        self.problem(&call, format!("expected {expected}, found {found}"));
                    }
                    if let Some(other) = self.of_calls.insert(found.to_owned(), call.clone()) {
                        self.problem(
                            &call,
                            format!("expected messages of its own, found {found} of {other}"),
                        );
                    }
                }
            }
        }
    }

    fn message(&mut self, file: &FileDescriptorProto, path: &[i32], message: &DescriptorProto) {
        let name = message.name();
        let of_call = self.of_calls.contains_key(&format!(".{PACKAGE}.{name}"));
        if !is_upper_camel(name) {
            self.problem(name, "expected a name such as SpaceSummary");
        }
        // A call's own messages are explained by the call.
        if !of_call && comment(file, path).is_none() {
            self.problem(name, "expected a comment");
        }
        if !of_call && (name.ends_with("Request") || name.ends_with("Response")) {
            self.problem(name, "expected a call that it belongs to");
        }
        if !message.nested_type.is_empty() || !message.enum_type.is_empty() {
            self.problem(name, "expected no declarations inside");
        }
        let reserved = |number: i32| {
            message.reserved_range.iter().any(|range| (range.start()..range.end()).contains(&number))
        };
        let numbers: BTreeSet<i32> = message.field.iter().map(FieldDescriptorProto::number).collect();
        let last = numbers.last().copied().unwrap_or_default();
        for missing in (1..=last).filter(|number| !numbers.contains(number) && !reserved(*number)) {
            self.problem(name, format!("expected the number {missing} to be used or reserved"));
        }
        for (index, field) in message.field.iter().enumerate() {
            let place = format!("{name}.{}", field.name());
            if !is_lower_snake(field.name()) {
                self.problem(&place, "expected a name such as file_digest");
            }
            // Bytes and floating-point numbers say nothing of themselves: not how many, not of what unit.
            let opaque = matches!(field.r#type(), Type::Bytes | Type::Double | Type::Float);
            if opaque && comment(file, &[path, &[FIELDS, index as i32]].concat()).is_none() {
                self.problem(&place, "expected a comment that says what it holds");
            }
        }
    }

    fn enumeration(&mut self, file: &FileDescriptorProto, path: &[i32], found: &EnumDescriptorProto) {
        let name = found.name();
        if !is_upper_camel(name) {
            self.problem(name, "expected a name such as RoundKind");
        }
        if comment(file, path).is_none() {
            self.problem(name, "expected a comment");
        }
        let mut prefix = String::new();
        for character in name.chars() {
            if character.is_uppercase() && !prefix.is_empty() {
                prefix.push('_');
            }
            prefix.extend(character.to_uppercase());
        }
        let zero = found.value.iter().find(|value| value.number() == 0).map(|value| value.name());
        if zero != Some(&format!("{prefix}_UNSPECIFIED")) {
            self.problem(name, format!("expected {prefix}_UNSPECIFIED = 0, found {zero:?}"));
        }
        for value in found.value.iter().filter(|value| !value.name().starts_with(&format!("{prefix}_"))) {
            self.problem(name, format!("expected values that begin with {prefix}_, found {}", value.name()));
        }
    }
}

fn used_types(file: &FileDescriptorProto) -> BTreeSet<String> {
    let fields = file.message_type.iter().flat_map(|message| &message.field);
    fields.map(|field| field.type_name().to_owned()).collect()
}

fn is_upper_camel(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_lower_snake(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(plain)
        && !name.contains("__")
        && !name.ends_with('_')
}

/// The interface, a line for each thing that a client relies on: the thing, and what must not change about it.
fn lines(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            for field in &message.field {
                let label = match field.label() {
                    Label::Repeated => "repeated ",
                    _ if field.proto3_optional() => "optional ",
                    _ => "",
                };
                let kind = match field.type_name() {
                    "" => format!("{:?}", field.r#type()).to_lowercase(),
                    name => name.trim_start_matches('.').to_owned(),
                };
                let of = if field.oneof_index.is_some() && !field.proto3_optional() {
                    let index = field.oneof_index() as usize;
                    format!(" in oneof {}", message.oneof_decl[index].name())
                } else {
                    String::new()
                };
                let key = format!("{package}.{}.{}", message.name(), field.name());
                lines.insert(key, format!("{} {label}{kind}{of}", field.number()));
            }
            lines.insert(format!("{package}.{}", message.name()), "message".to_owned());
        }
        for found in &file.enum_type {
            for value in &found.value {
                let key = format!("{package}.{}.{}", found.name(), value.name());
                lines.insert(key, value.number().to_string());
            }
        }
        for service in &file.service {
            for method in &service.method {
                let shown = |streams: bool, name: &str| {
                    format!("{}{}", if streams { "stream " } else { "" }, name.trim_start_matches('.'))
                };
                let input = shown(method.client_streaming(), method.input_type());
                let output = shown(method.server_streaming(), method.output_type());
                let key = format!("{package}.{}/{}", service.name(), method.name());
                lines.insert(key, format!("{input} -> {output}"));
            }
        }
    }
    lines
}

const HEADER: &str = "\
# Everything that a client relies on, a line each: the number and kind of every field, the messages of every call.
# Lines are only ever added (node/tests/protos.rs): what is here works for ever, or gets another package.
";

fn to_text(lines: &BTreeMap<String, String>) -> String {
    let body: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{HEADER}{body}")
}

fn from_text(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.split_once(" = ").unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// What of the baseline is gone or changed.
fn broken(baseline: &BTreeMap<String, String>, present: &BTreeMap<String, String>) -> Vec<String> {
    let mut broken = Vec::new();
    for (key, expected) in baseline {
        match present.get(key) {
            Some(found) if found == expected => {}
            found => {
                let found = found.map_or("none", String::as_str);
                broken.push(format!("{key}: expected {expected}, found {found}"));
            }
        }
    }
    broken
}

#[test]
fn the_interface_has_one_style() {
    let problems = Lint::of(&compile(&root()));
    assert!(problems.is_empty(), "specs/proto:\n  {}", problems.join("\n  "));
}

#[test]
fn every_file_is_served_by_reflection() {
    let served = FileDescriptorSet::decode(weightproof_node::rpc::DESCRIPTORS).unwrap();
    assert_eq!(lines(&served), lines(&compile(&root())), "FILES of node/build.rs must name every file");
}

#[test]
fn the_interface_only_grows() {
    let path = root().join("baseline.txt");
    let present = lines(&compile(&root()));
    let baseline = from_text(&std::fs::read_to_string(&path).unwrap_or_default());
    let broken = broken(&baseline, &present);
    assert!(
        broken.is_empty(),
        "this breaks clients that exist; give the new thing a new name and number, and keep the old one:\n  {}",
        broken.join("\n  ")
    );
    if std::env::var_os("WEIGHTPROOF_RECORD_PROTOS").is_some() {
        std::fs::write(&path, to_text(&present)).unwrap();
        return;
    }
    let new: Vec<&str> =
        present.keys().filter(|key| !baseline.contains_key(*key)).map(String::as_str).collect();
    assert!(
        new.is_empty(),
        "new in the interface; record it with WEIGHTPROOF_RECORD_PROTOS=1 cargo test -p weightproof-node --test protos:\n  {}",
        new.join("\n  ")
    );
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        to_text(&present),
        "the recording is sorted and nothing else"
    );
}

/// An interface of one file.
fn interface(text: &str) -> FileDescriptorSet {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("weightproof/v1");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("sample.proto"), format!("syntax = \"proto3\";\n{text}")).unwrap();
    compile(folder.path())
}

const SAMPLE: &str = "package weightproof.v1;
// Samples.
service SamplesService {
  // One sample.
  rpc GetSample(GetSampleRequest) returns (GetSampleResponse);
}
message GetSampleRequest {
  // Its name, 32 bytes.
  bytes name = 1;
}
message GetSampleResponse {
  Kind kind = 1;
  repeated uint64 sizes = 2;
}
// What it is.
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_LARGE = 1;
}
";

#[test]
fn the_lint_sees_each_fault() {
    assert_eq!(Lint::of(&interface(SAMPLE)), Vec::<String>::new());
    for (from, to, expected) in [
        ("weightproof.v1;", "weightproof.v2;", "expected package weightproof.v1"),
        ("SamplesService", "Samples", "such as RoundsService"),
        ("// Samples.\n", "", "SamplesService: expected a comment"),
        ("// One sample.\n", "", "SamplesService.GetSample: expected a comment"),
        ("GetSample(", "get_sample(", "such as GetCurrentRound"),
        ("(GetSampleResponse)", "(GetSampleRequest)", "expected messages of its own"),
        ("GetSampleRequest", "SampleRequest", "expected .weightproof.v1.GetSampleRequest"),
        ("// Its name, 32 bytes.\n", "", "GetSampleRequest.name: expected a comment"),
        ("bytes name", "bytes Name", "such as file_digest"),
        ("sizes = 2", "sizes = 3", "expected the number 2 to be used or reserved"),
        ("KIND_UNSPECIFIED", "KIND_SMALL", "expected KIND_UNSPECIFIED = 0"),
        ("KIND_LARGE", "LARGE", "expected values that begin with KIND_"),
        ("// What it is.\n", "", "Kind: expected a comment"),
        ("// What it is.", "message Loose {}", "Loose: expected a comment"),
        ("// What it is.", "// A.\nmessage OldRequest {}\n// B.", "expected a call that it belongs to"),
        ("sizes = 2;", "sizes = 2; message Inner {}", "expected no declarations inside"),
    ] {
        let changed = SAMPLE.replace(from, to);
        assert_ne!(changed, SAMPLE);
        let problems = Lint::of(&interface(&changed));
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{from} -> {to}: {problems:?}");
    }
}

#[test]
fn the_comparison_sees_each_break() {
    let baseline = lines(&interface(SAMPLE));
    assert_eq!(from_text(&to_text(&baseline)), baseline);
    for (from, to, expected) in [
        ("bytes name = 1", "bytes name = 2", "GetSampleRequest.name: expected 1 bytes, found 2 bytes"),
        ("bytes name", "string name", "found 1 string"),
        ("bytes name", "bytes title", "GetSampleRequest.name: expected 1 bytes, found none"),
        ("bytes name", "optional bytes name", "found 1 optional bytes"),
        ("bytes name = 1;", "oneof one { bytes name = 1; }", "found 1 bytes in oneof one"),
        ("repeated uint64", "uint64", "expected 2 repeated uint64, found 2 uint64"),
        ("KIND_LARGE = 1", "KIND_LARGE = 2", "Kind.KIND_LARGE: expected 1, found 2"),
        ("returns (", "returns (stream ", "SamplesService/GetSample"),
        ("(GetSampleRequest)", "(stream GetSampleRequest)", "SamplesService/GetSample"),
        ("rpc GetSample(", "rpc FetchSample(", "SamplesService/GetSample"),
    ] {
        let changed = SAMPLE.replace(from, to);
        let broken = broken(&baseline, &lines(&interface(&changed)));
        assert!(broken.iter().any(|line| line.contains(expected)), "{from} -> {to}: {broken:?}");
    }
    let grown = format!("{SAMPLE}// More.\nmessage More {{}}\n");
    assert_eq!(broken(&baseline, &lines(&interface(&grown))), Vec::<String>::new());
}
