//! Space files: what an operator writes to open a learning task, as TOML that says everything.
//!
//! A space's identity is a digest of all of it, so nothing has a default here: `weightproof space init` writes every
//! key out, and a file that lacks one is refused with all other problems at once.
use crate::failure::Failure;
use crate::output::{hex, parse_hex32};
use std::fmt::Write as _;
use std::path::Path;
use toml::{Table, Value};
use weightproof_circuits::program::Program;
use weightproof_ledger::canonical::{Bytes, MAXIMUM_BYTES};
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;
use weightproof_ledger::step::MAXIMUM_NAME;
use weightproof_prover::data::Schema;

/// Keys of a file, in the order in which they are written.
const KEYS: [&str; 6] = ["name", "seed", "validation", "program", "schema", "policy"];

/// Reads a space file.
///
/// # Errors
/// `Failure::File`; `Failure::Usage` with every problem at once.
pub fn read(path: &Path) -> Result<SpaceSpec, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    parse(&text).map_err(|problems| {
        let count = problems.len();
        let plural = if count == 1 { "" } else { "s" };
        let list: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        Failure::Usage(format!("{}: the space file has {count} problem{plural}{list}", path.display()))
    })
}

/// Reads the text of a space file.
///
/// # Errors
/// Every problem, each as `key: expected …, found …`.
pub fn parse(text: &str) -> Result<SpaceSpec, Vec<String>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| text.get(..span.start).unwrap_or("").matches('\n').count() + 1);
        vec![format!("file: expected TOML, found on line {line}: {}", error.message())]
    })?;
    let mut reader = SpaceReader { problems: Vec::new() };
    let spec = reader.space(&table);
    match spec {
        Some(spec) if reader.problems.is_empty() => Ok(spec),
        _ => Err(reader.problems),
    }
}

/// A space as the text of a file; parsing it gives the same space.
///
/// # Errors
/// `Failure::Program` when the program's bytes or the schema's are none.
pub fn to_toml(spec: &SpaceSpec) -> Result<String, Failure> {
    let program = Program::decode(&spec.program.0).map_err(|error| Failure::Program(error.to_string()))?;
    let schema = std::str::from_utf8(&spec.schema.0)
        .map_err(|error| Failure::Program(format!("schema: expected JSON, found {error}")))?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# A learning task of a node: `weightproof node` opens it when its configuration names this file."
    );
    let _ = writeln!(
        text,
        "# All of it is public, and the space's identity is a digest of it and of the node: a changed file is another space."
    );
    let _ = writeln!(text, "name = {}", Value::from(spec.name.clone()));
    let _ = writeln!(text, "# Chooses the initial weights.");
    let _ = writeln!(text, "seed = \"{}\"", hex(&spec.seed));
    if let Some(validation) = &spec.validation {
        let _ = writeln!(text, "# Digest of the operator's validation set.");
        let _ = writeln!(text, "validation = \"{}\"", hex(validation));
    }
    let _ = writeln!(text, "# What every contribution does, as in a file for `train --model`.");
    let _ = writeln!(text, "program = '''\n{}'''", program.to_toml());
    let _ = writeln!(text, "# Columns, classes and standardisation that every holder applies.");
    let _ = writeln!(text, "schema = {}", Value::from(schema));
    let _ =
        writeln!(text, "\n# Amounts are whole tokens, times are seconds, shares are thousandths.\n[policy]");
    text.push_str(&policy_toml(&spec.policy));
    Ok(text)
}

struct SpaceReader {
    problems: Vec<String>,
}

impl SpaceReader {
    fn space(&mut self, table: &Table) -> Option<SpaceSpec> {
        self.unknown(table, &KEYS, "");
        let name = self.text(table, "name", "a name in quotes").and_then(|name| self.name(name));
        let seed = self.text(table, "seed", "64 hexadecimal digits in quotes");
        let seed = seed.and_then(|text| self.digest("seed", text));
        let validation = match table.get("validation") {
            None => Some(None),
            Some(_) => {
                let text = self.text(table, "validation", "64 hexadecimal digits in quotes");
                text.and_then(|text| self.digest("validation", text)).map(Some)
            }
        };
        let program = self.program(table.get("program"));
        let schema = self.text(table, "schema", "JSON in quotes").and_then(|text| self.schema(text));
        if let (Some(program), Some((schema, _))) = (&program, &schema) {
            self.fits(program, schema);
        }
        let policy = match table.get("policy") {
            Some(Value::Table(policy)) => self.policy(policy),
            other => {
                self.wrong("policy", "a section [policy]", other);
                None
            }
        };
        if let Some(Err(refusal)) = policy.as_ref().map(Policy::check) {
            self.problems.push(refusal.message);
        }
        Some(SpaceSpec {
            name: name?,
            program: Bytes(program?.encode()),
            seed: seed?,
            schema: Bytes(schema?.1.into_bytes()),
            validation: validation?,
            policy: policy?,
        })
    }

    fn name(&mut self, name: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > MAXIMUM_NAME || !name.bytes().all(plain) {
            let expected = format!("1 to {MAXIMUM_NAME} lower-case letters, digits and hyphens");
            self.problem("name", &expected, &format!("`{}`", name.escape_debug()));
            return None;
        }
        Some(name.to_owned())
    }

    fn digest(&mut self, key: &str, text: &str) -> Option<[u8; 32]> {
        parse_hex32(text).map_err(|problem| self.problems.push(format!("{key}: {problem}"))).ok()
    }

    /// A program is text as in a program's own file, or the same sections below `program`.
    fn program(&mut self, value: Option<&Value>) -> Option<Program> {
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Table(table)) => table.to_string(),
            other => {
                self.wrong(
                    "program",
                    "a program as text in quotes or as sections [program.model] and so on",
                    other,
                );
                return None;
            }
        };
        let parsed = Program::parse(&text);
        parsed
            .map_err(|error| {
                for problem in error.problems {
                    self.problem(&format!("program.{}", problem.key), &problem.expected, &problem.found);
                }
            })
            .ok()
    }

    /// The schema and its text, which is what is signed and logged.
    fn schema(&mut self, text: &str) -> Option<(Schema, String)> {
        if text.len() > MAXIMUM_BYTES {
            self.problem("schema", &format!("at most {MAXIMUM_BYTES} bytes"), &text.len().to_string());
            return None;
        }
        match serde_json::from_str(text) {
            Ok(schema) => Some((schema, text.to_owned())),
            Err(error) => {
                self.problem("schema", "columns, label and activation_bits as JSON", &error.to_string());
                None
            }
        }
    }

    fn fits(&mut self, program: &Program, schema: &Schema) {
        let pairs = [
            ("inputs", program.inputs(), schema.inputs()),
            ("outputs", program.outputs(), schema.outputs()),
            ("activation_bits", program.activation_bits() as usize, schema.activation_bits as usize),
        ];
        for (what, of_program, of_schema) in pairs {
            if of_program != of_schema {
                self.problem(
                    "schema",
                    &format!("{of_program} {what} as in the program"),
                    &of_schema.to_string(),
                );
            }
        }
    }

    fn text<'a>(&mut self, table: &'a Table, key: &str, expected: &str) -> Option<&'a str> {
        match table.get(key) {
            Some(Value::String(text)) => Some(text),
            other => {
                self.wrong(key, expected, other);
                None
            }
        }
    }

    fn field<T: Field>(&mut self, table: &Table, section: &str, key: &str) -> Option<T> {
        let value = table.get(key);
        let read = value.and_then(T::read);
        if read.is_none() {
            self.wrong(&format!("{section}.{key}"), T::EXPECTED, value);
        }
        read
    }

    fn unknown(&mut self, table: &Table, known: &[&str], prefix: &str) {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(
                &format!("{prefix}{key}"),
                &format!("one of {}", known.join(", ")),
                "an unknown key",
            );
        }
    }

    fn wrong(&mut self, key: &str, expected: &str, found: Option<&Value>) {
        let found = match found {
            None => "none".to_owned(),
            // A long text says nothing that its beginning does not.
            Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => value.to_string(),
            Some(value) => value.type_str().to_owned(),
        };
        self.problem(key, expected, &found);
    }

    fn problem(&mut self, key: &str, expected: &str, found: &str) {
        self.problems.push(format!("{key}: expected {expected}, found {found}"));
    }
}

/// A kind of value in a policy.
trait Field: Sized {
    const EXPECTED: &'static str;
    fn read(value: &Value) -> Option<Self>;
    fn show(&self) -> String;
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";
    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($kind:ident $expected:literal),*) => {$(
        impl Field for $kind {
            const EXPECTED: &'static str = $expected;
            fn read(value: &Value) -> Option<Self> {
                value.as_integer().and_then(|number| number.try_into().ok())
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_numbers!(u16 "a whole number from 0 to 65535", u32 "a whole number from 0 to 2^32 - 1", u64 "a whole number from 0 on");

impl Field for Vec<u32> {
    const EXPECTED: &'static str = "a list of whole numbers such as [2, 1]";
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(u32::read).collect()
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// Reading and writing of the `[policy]` section, key by key: a field that the ledger adds does not compile until it is
/// here too.
macro_rules! policy {
    ($($field:ident: $kind:ty = $note:literal;)*) => {
        impl SpaceReader {
            fn policy(&mut self, table: &Table) -> Option<Policy> {
                self.unknown(table, &[$(stringify!($field)),*], "policy.");
                $(let $field = self.field::<$kind>(table, "policy", stringify!($field));)*
                Some(Policy { $($field: $field?,)* })
            }
        }

        fn policy_toml(policy: &Policy) -> String {
            let mut text = String::new();
            $(
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{} = {}  # {}", stringify!($field), Field::show(&policy.$field), $note);
            )*
            text
        }
    };
}

policy! {
    tokens: bool = "whether there are tokens at all";
    minimum_stake: u64 = "stake that a member must hold";
    bond: u64 = "part of the stake that an invalid proof forfeits";
    slash_permille: u16 = "share of the stake that two conflicting submissions cost";
    miss_cost: u64 = "cost of missing a round; the n-th in a row costs n times this";
    reward_per_example: u64 = "before the factors";
    emission: u64 = "most that one round may mint";
    halving_rounds: u64 = "rounds after which the emission halves; 0: never";
    burn_permille: u16 = "share of a reward that is burned";
    fee_permille: u16 = "share of a reward that the operator gets";
    transfer_fee: u64 = "burned for a transfer";
    reputation_contributions: u32 = "accepted contributions until the whole rate; 0: at once";
    improvement_gain: u32 = "reward for validation accuracy, thousandths for each thousandth";
    maximum_drop_permille: u16 = "largest loss of validation accuracy by one contribution";
    round_seconds: u64 = "how long a round takes contributions";
    close_when_complete: bool = "whether a round closes once every admitted member contributed";
    minimum_datasets: u32 = "datasets that must be registered before a round opens";
    maximum_members: u32 = "most members";
    minimum_rows: u64 = "fewest rows of a dataset";
    weights: Vec<u32> = "weight of a contribution that is 0, 1, ... rounds late; later ones are refused";
    maximum_update: u64 = "largest magnitude of an update's integers";
    unbonding_seconds: u64 = "how long unstaked tokens stay within reach of evidence";
    evidence_seconds: u64 = "how long after a round opened evidence about it is heard";
    sigma: bool = "whether the sigma seal is taken";
    halo2: bool = "whether the halo2 seal is taken";
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small space: two inputs, two classes.
    pub(crate) fn sample() -> SpaceSpec {
        let program = Program::default_for(2, 2).unwrap();
        let schema = format!(
            r#"{{"columns":[{{"name":"a \"quoted\" 'one'","kind":{{"numeric":{{"mean":0.1,"deviation":1.0}}}}}},{{"name":"b","kind":{{"numeric":{{"mean":0.30000000000000004,"deviation":2.0}}}}}}],"label":{{"name":"y","target":{{"classes":{{"classes":["0","1"]}}}}}},"activation_bits":{}}}"#,
            program.activation_bits()
        );
        SpaceSpec {
            name: "sepsis".to_owned(),
            program: Bytes(program.encode()),
            seed: [7; 32],
            schema: Bytes(schema.into_bytes()),
            validation: None,
            policy: Policy::with_tokens(),
        }
    }

    #[test]
    fn a_space_survives_its_file() {
        for policy in [Policy::with_tokens(), Policy::without_tokens()] {
            for validation in [None, Some([9; 32])] {
                let spec = SpaceSpec { policy: policy.clone(), validation, ..sample() };
                let text = to_toml(&spec).unwrap();
                assert_eq!(parse(&text), Ok(spec), "{text}");
            }
        }
    }

    #[test]
    fn a_program_may_be_sections() {
        let spec = sample();
        let text = to_toml(&spec).unwrap();
        let program = Program::decode(&spec.program.0).unwrap().to_toml();
        let inline = format!("program = '''\n{program}'''\n");
        let sections = program.replace('[', "[program.").replace("= [program.", "= [");
        let text = format!("{}\n{sections}", text.replace(&inline, ""));
        assert_eq!(parse(&text), Ok(spec), "{text}");
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let text = to_toml(&sample()).unwrap();
        let text = text
            .replace("name = \"sepsis\"", "name = \"Sepsis\"\ncolour = 1")
            .replace("seed = \"07", "seed = \"zz")
            .replace("tokens = true", "tokens = 1")
            .replace("bond = 100", "bond = -1")
            .replace("emission = ", "emissions = ")
            .replace("learning_rate", "learning");
        let problems = parse(&text).unwrap_err();
        let expected = [
            "colour:",
            "name:",
            "seed:",
            "program.optimizer.learning:",
            "program.optimizer.learning_rate:",
            "policy.emissions:",
            "policy.tokens:",
            "policy.bond:",
            "policy.emission:",
        ];
        for key in expected {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} in {problems:#?}");
        }
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        let contradicting = to_toml(&sample()).unwrap().replace("bond = 100", "bond = 100000");
        assert!(parse(&contradicting).unwrap_err()[0].starts_with("policy.bond:"));
        assert!(parse("name = ").unwrap_err()[0].contains("line 1"));
        let narrow =
            to_toml(&sample()).unwrap().replace("\"0\", \"1\"", "").replace(r#"["0","1"]"#, r#"["0"]"#);
        assert!(parse(&narrow).unwrap_err()[0].starts_with("schema: expected 2 outputs"), "{narrow}");
    }
}
