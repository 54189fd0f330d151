//! Puts the sources over each other, value by value, and remembers where each came from.
use super::keys::{self, KEYS, OF_LIMITS};
use super::{Entry, Sources};
use crate::transport::limits::Limits;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What every variable of the configuration begins with.
const VARIABLES: &str = "WEIGHTPROOF_";
/// What stands between section and key in a variable's name. A key without a section (`spaces`) has it in front.
const SEPARATOR: &str = "__";
/// Longest piece of a wrong value that is shown.
const SHOWN: usize = 60;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => {
                write!(formatter, "{}", path.file_name().map_or(path.as_path(), Path::new).display())
            }
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag => formatter.write_str("flag"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, empty if it is about a whole file.
    pub key: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What would do.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Problem {
    pub(super) fn whole(expected: &str, found: &str) -> Self {
        let found = found.trim().to_owned();
        Self { key: String::new(), origin: Origin::Default, expected: expected.to_owned(), found }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{} ", self.key)?;
        }
        write!(formatter, "({}): expected {}, found {}", self.origin, self.expected, self.found)
    }
}

/// The values of all sources; a later one has replaced an earlier one.
pub(super) struct Layers {
    /// Dotted name to value and origin.
    values: BTreeMap<&'static str, (Value, Origin)>,
    /// Where relative paths of the file and the defaults start.
    folder: PathBuf,
}

impl Layers {
    /// Reads every source, and notes what is wrong with any of them.
    pub(super) fn read(sources: &Sources) -> (Self, Vec<Problem>) {
        let folder = sources.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let mut layers = Self { values: BTreeMap::new(), folder };
        let mut problems = Vec::new();
        layers.defaults();
        if let Some(path) = &sources.file {
            match read_file(path) {
                Ok(table) => layers.file(table, path, &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        let mut variables: Vec<_> = sources.environment.iter().collect();
        variables.sort();
        for (variable, text) in variables {
            if let Some(name) = name_of_variable(variable) {
                layers.set_text(&name, text, Origin::Variable(variable.clone()), &mut problems);
            }
        }
        for (name, text) in &sources.flags {
            layers.set_text(name, text, Origin::Flag, &mut problems);
        }
        (layers, problems)
    }

    fn defaults(&mut self) {
        let limits = Table::try_from(Limits::default()).unwrap_or_default();
        for key in KEYS {
            let value = match key.default {
                OF_LIMITS => key.name.strip_prefix("limits.").and_then(|name| limits.get(name)).cloned(),
                text => keys::parse_value(text),
            };
            if let Some(value) = value {
                self.values.insert(key.name, (value, Origin::Default));
            }
        }
    }

    fn file(&mut self, table: Table, path: &Path, problems: &mut Vec<Problem>) {
        let origin = Origin::File(path.to_owned());
        for (name, value) in table {
            match value {
                Value::Table(section) if keys::find(&name).is_none() && is_section(&name) => {
                    for (key, value) in section {
                        self.set(&format!("{name}.{key}"), value, origin.clone(), problems);
                    }
                }
                value => self.set(&name, value, origin.clone(), problems),
            }
        }
    }

    fn set_text(&mut self, name: &str, text: &str, origin: Origin, problems: &mut Vec<Problem>) {
        let value = match keys::find(name) {
            Some(key) => key.kind.read(text),
            None => Value::String(text.to_owned()),
        };
        self.set(name, value, origin, problems);
    }

    fn set(&mut self, name: &str, value: Value, origin: Origin, problems: &mut Vec<Problem>) {
        let mut problem = |expected, found| {
            let key = crate::observe::clip(name);
            problems.push(Problem { key, origin: origin.clone(), expected, found });
        };
        match keys::find(name) {
            None => problem(alternatives(name), "an unknown key".to_owned()),
            Some(key) => match key.kind.refuse(&value) {
                Some(expected) => problem(expected, shown(&value)),
                None => {
                    self.values.insert(key.name, (value, origin));
                }
            },
        }
    }

    /// All values as one table with sections, for serde.
    pub(super) fn table(&self) -> Table {
        let mut whole = Table::new();
        for (name, (value, _)) in &self.values {
            match name.split_once('.') {
                None => {
                    whole.insert((*name).to_owned(), value.clone());
                }
                Some((section, key)) => {
                    let section = whole.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(section) = section {
                        section.insert(key.to_owned(), value.clone());
                    }
                }
            }
        }
        whole
    }

    pub(super) fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// A path as the process sees it: those of the file and the defaults start at the file's folder, those of
    /// variables and flags where the process was started.
    pub(super) fn resolve(&self, name: &str, path: &Path) -> PathBuf {
        match self.origin(name) {
            Origin::Default | Origin::File(_) => self.folder.join(path),
            Origin::Variable(_) | Origin::Flag => path.to_owned(),
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        KEYS.iter()
            .map(|key| {
                let value = self.values.get(key.name).map(|(value, _)| value.to_string()).unwrap_or_default();
                Entry { key: key.name.to_owned(), value, origin: self.origin(key.name) }
            })
            .collect()
    }
}

fn read_file(path: &Path) -> Result<Table, Problem> {
    let problem = |expected: &str, found: String| Problem {
        origin: Origin::File(path.to_owned()),
        ..Problem::whole(expected, &found)
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| problem("a file that can be read", format!("{}: {error}", path.display())))?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        problem("TOML", format!("{} in line {line}", error.message()))
    })
}

/// `WEIGHTPROOF_NODE__LISTEN` is `node.listen`. Other variables of the program, such as that of the passphrase, have
/// no separator and are left alone.
fn name_of_variable(variable: &str) -> Option<String> {
    let (section, key) = variable.strip_prefix(VARIABLES)?.split_once(SEPARATOR)?;
    let dot = if section.is_empty() { "" } else { "." };
    Some(format!("{section}{dot}{key}").to_ascii_lowercase())
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The keys that may have been meant: those of the section, or the sections.
fn alternatives(name: &str) -> String {
    let section = name.split_once('.').map_or("", |(section, _)| section);
    let prefix = format!("{section}.");
    let mut names: Vec<&str> = if is_section(section) {
        KEYS.iter().filter_map(|key| key.name.strip_prefix(prefix.as_str())).collect()
    } else {
        KEYS.iter().map(|key| key.name.split_once('.').map_or(key.name, |(section, _)| section)).collect()
    };
    names.dedup();
    format!("one of {}", names.join(", "))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
