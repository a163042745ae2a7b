//! The place to which events were passed on, in a file that outlives the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::cli::listen::Listen;
use crate::dotenv;
use crate::environment::Environment;
use crate::exit::Usage;

/// The longest name, in bytes. It stands in the name of a file.
const NAME_BYTES_MAX: usize = 64;

/// The largest file, in bytes: a place has some dozens.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The version of the file.
const VERSION: u32 = 1;

/// What stands in the file.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    version: u32,
    /// The gateway, for people.
    server: String,
    /// The place, as the gateway calls it.
    place: String,
}

/// The file, which is this process's alone while it lives.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    server: String,
    place: Option<String>,
    _lock: File,
}

impl State {
    /// Opens the file that the flags name, or the one of this name and gateway.
    pub(super) fn open(
        flags: &Listen,
        server: &str,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let path = if let Some(path) = &flags.state {
            path.clone()
        } else {
            let name = file_name(server, &flags.name)?;
            folder(environment)?.join(name)
        };
        let cannot = || format!("cannot keep the place in {} (--state says where)", path.display());
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let lock = lock(&path).with_context(cannot)?;
        let place = read(&path)?;
        Ok(Self { server: server.to_owned(), place, _lock: lock, path })
    }

    /// The place of the last time.
    pub(super) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Keeps a place: when this returns, it is on the disk.
    pub(super) fn keep(&mut self, place: &str) -> anyhow::Result<()> {
        if self.place.as_deref() == Some(place) {
            return Ok(());
        }
        let kept = Kept { version: VERSION, server: self.server.clone(), place: place.to_owned() };
        let text = format!("{}\n", serde_json::to_string(&kept)?);
        dotenv::replace(&self.path, text.as_bytes())
            .with_context(|| format!("cannot keep the place in {}", self.path.display()))?;
        self.place = Some(kept.place);
        Ok(())
    }
}

/// Two that share a place would each miss what the other takes.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Usage::new(
            "another `hookgate listen` goes by this name: give this one another with --name",
        )
        .into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let wrong = || {
        Usage::new(format!(
            "{} is no state of `hookgate listen`: remove it, or name another with --state",
            path.display()
        ))
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= FILE_BYTES_MAX => {}
        Ok(_) => return Err(wrong().into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let kept: Kept = serde_json::from_str(&text).map_err(|_| wrong())?;
    if kept.version != VERSION {
        return Err(wrong().into());
    }
    Ok(Some(kept.place))
}

/// The user's folder for what programs remember.
fn folder(environment: &Environment) -> anyhow::Result<PathBuf> {
    let state = if let Some(folder) = environment.value("XDG_STATE_HOME")? {
        PathBuf::from(folder)
    } else {
        let home = environment.value("HOME")?.ok_or_else(|| {
            Usage::new("there is no home folder to keep the place in: name a file with --state")
        })?;
        Path::new(&home).join(".local/state")
    };
    Ok(state.join("hookgate").join("listen"))
}

/// One file for each gateway and name.
fn file_name(server: &str, name: &str) -> anyhow::Result<String> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_plain);
    if !is_name {
        return Err(Usage::new(format!(
            "--name: 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`"
        ))
        .into());
    }
    let server: String =
        server.chars().map(|it| if is_plain(it) { it } else { '_' }).take(128).collect();
    Ok(format!("{server}@{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_and_name_has_a_file_of_its_own() {
        let check = |server, name, expected: Option<&str>| {
            assert_eq!(file_name(server, name).ok().as_deref(), expected, "{server} {name}");
        };
        check("http://127.0.0.1:8080", "default", Some("http___127.0.0.1_8080@default.json"));
        check("https://hooks.example", "a-1", Some("https___hooks.example@a-1.json"));
        check("http://a", "../x", None);
        check("http://a", "", None);
    }
}
