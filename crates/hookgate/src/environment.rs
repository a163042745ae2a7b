//! Variables: those of the process over those of `.env` in the working folder.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;

use crate::dotenv;
use crate::exit::Usage;

/// The largest file that a `…_FILE` variable may name, in bytes. It holds one value.
const VALUE_BYTES_MAX: u64 = 64 * 1024;

/// The variables in force, read once.
#[derive(Default)]
pub(crate) struct Environment {
    process: HashMap<String, OsString>,
    file: HashMap<String, String>,
}

/// A value and where it came from.
pub(crate) struct Variable {
    /// The value, without outer white space, not empty.
    pub(crate) value: String,
    /// `NAME`, `NAME in .env`, or `the file that NAME_FILE names`.
    pub(crate) origin: String,
}

impl Environment {
    /// Reads the process's variables and `.env` in the working folder.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let process = std::env::vars_os();
        let process = process.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut file = HashMap::new();
        for (name, value) in dotenv::read(Path::new(dotenv::FILE))? {
            // A later line is the newer one, as in a shell.
            file.insert(name, value);
        }
        Ok(Self { process: process.collect(), file })
    }

    /// The value of `name`, or of the file that `name_FILE` names. Empty counts as not
    /// set. The process's variables win over `.env`.
    pub(crate) fn variable(&self, name: &str) -> anyhow::Result<Option<Variable>> {
        let name_file = format!("{name}_FILE");
        if let Some(value) = self.in_process(name)? {
            return Ok(Some(Variable { value, origin: name.to_owned() }));
        }
        if let Some(path) = self.in_process(&name_file)? {
            return from_file(&name_file, &path).map(Some);
        }
        if let Some(value) = self.in_file(name) {
            return Ok(Some(Variable { value, origin: format!("{name} in .env") }));
        }
        if let Some(path) = self.in_file(&name_file) {
            return from_file(&name_file, &path).map(Some);
        }
        Ok(None)
    }

    /// Only the value of `name`.
    pub(crate) fn value(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self.variable(name)?.map(|it| it.value))
    }

    /// The first of these variables that is set.
    pub(crate) fn first(&self, names: &[&str]) -> anyhow::Result<Option<Variable>> {
        for name in names {
            if let Some(variable) = self.variable(name)? {
                return Ok(Some(variable));
            }
        }
        Ok(None)
    }

    fn in_process(&self, name: &str) -> anyhow::Result<Option<String>> {
        let Some(value) = self.process.get(name) else { return Ok(None) };
        let value =
            value.to_str().ok_or_else(|| Usage::new(format!("{name} is not UTF-8 text")))?;
        Ok(present(value))
    }

    fn in_file(&self, name: &str) -> Option<String> {
        present(self.file.get(name)?)
    }

    /// An environment of these variables alone.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let process = variables.iter().map(|(name, value)| ((*name).to_owned(), value.into()));
        Self { process: process.collect(), file: HashMap::new() }
    }
}

fn present(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn from_file(name_file: &str, path: &str) -> anyhow::Result<Variable> {
    let value = read_value(Path::new(path))
        .with_context(|| format!("{name_file} names {path}, which gives no value"))?;
    Ok(Variable { value, origin: format!("the file that {name_file} names") })
}

/// The text of a file that holds one value, or several separated by white space.
pub(crate) fn read_value(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(path).context("cannot read it")?.len();
    anyhow::ensure!(bytes <= VALUE_BYTES_MAX, "it is larger than 64 KiB");
    let text = std::fs::read_to_string(path).context("cannot read it")?;
    present(&text).context("it is empty")
}
