//! `[store]`, checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hookgate_store::{
    Options, PgSettings, Ring, SPOOL_BYTES_MIN, SPOOL_FOLDER, START_WAIT, is_url,
};
use serde::Deserialize;

use super::raw::{RawRing, RawStore};
use super::{STORE, usage};
use crate::environment::Environment;

/// The longest that a start may wait for a database: beyond, nobody knows that it does.
const START_WAIT_MAX: Duration = Duration::from_hours(1);

/// Where the store is, as somebody wrote it: it may hold the password of a database, so it
/// prints as nothing.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoreText(pub(crate) String);

/// Where what has come is kept.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In a database that several nodes may share.
    Postgres(Box<PgSettings>),
}

/// Where the store is and how it is opened.
pub(crate) struct StoreConfig {
    /// The store itself.
    pub(crate) place: Place,
    /// The folder of what belongs to this node: its tokens and keys. The store's own folder
    /// where there is one.
    pub(crate) path: PathBuf,
    /// Its bounds.
    pub(crate) options: Options,
}

impl StoreConfig {
    pub(super) fn check(
        raw: &RawStore,
        flag: Option<&str>,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let default = Options::default();
        let options = Options {
            unproven: ring(&raw.unproven, default.unproven),
            rejections: ring(&raw.rejections, default.rejections),
            segment_bytes_max: raw.segment_bytes.map_or(default.segment_bytes_max, |it| it.0),
            disk_warn_percent: raw.disk_warn_percent.unwrap_or(default.disk_warn_percent),
            disk_full_percent: raw.disk_full_percent.unwrap_or(default.disk_full_percent),
            spool_bytes_max: raw.spool_bytes.map_or(default.spool_bytes_max, |it| it.0),
            start_wait: raw.start_seconds.map_or(START_WAIT, Duration::from_secs),
            ..default
        };
        if options.spool_bytes_max < SPOOL_BYTES_MIN {
            return Err(usage(format!(
                "[store] spool_bytes must be {} MiB at least: a few of the largest bodies",
                SPOOL_BYTES_MIN >> 20
            )));
        }
        if options.start_wait > START_WAIT_MAX {
            return Err(usage(format!(
                "[store] start_seconds must be {} at most",
                START_WAIT_MAX.as_secs()
            )));
        }
        let (warn, full) = (options.disk_warn_percent, options.disk_full_percent);
        if warn == 0 || warn > full || full > 100 {
            return Err(usage(
                "[store] needs 0 < disk_warn_percent <= disk_full_percent <= 100".to_owned(),
            ));
        }
        let place = place(raw, flag, environment)?;
        let path = match &place {
            Place::Folder(path) => path.clone(),
            Place::Postgres(settings) => settings.node_folder.clone(),
        };
        Ok(Self { place, path, options })
    }
}

/// Where the store is: the flag over `HOOKGATE_STORE` over the file over the default.
pub(crate) fn place(
    raw: &RawStore,
    flag: Option<&str>,
    environment: &Environment,
) -> anyhow::Result<Place> {
    let (text, at) = match (flag, environment.value("HOOKGATE_STORE")?, &raw.path) {
        (Some(flag), ..) => (flag.to_owned(), ""),
        (None, Some(text), _) => (text, "HOOKGATE_STORE: "),
        (None, None, Some(path)) => (path.0.clone(), "[store] path: "),
        (None, None, None) => (STORE.to_owned(), ""),
    };
    if is_url(&text) {
        let settings = database(&text, raw, environment)?;
        return Ok(Place::Postgres(Box::new(settings)));
    }
    if text.is_empty() || text.contains("://") {
        // What stands behind such a beginning may be a password.
        return Err(usage(format!(
            "{at}a store is a folder, as in hookgate.data, or postgres://…"
        )));
    }
    Ok(Place::Folder(PathBuf::from(text)))
}

/// The text of a flag.
pub(crate) fn text(flag: Option<&StoreText>) -> Option<&str> {
    flag.map(|it| it.0.as_str())
}

/// What a command says that works on files.
pub(crate) fn only_folders() -> anyhow::Error {
    usage(
        "--store names a folder here: what is in PostgreSQL is read through a running gateway, \
         at HOOKGATE_URL, without --store"
            .to_owned(),
    )
}

/// The folder of what belongs to this node, wherever the store is.
pub(crate) fn node_folder(raw: &RawStore, environment: &Environment) -> anyhow::Result<PathBuf> {
    Ok(match place(raw, None, environment)? {
        Place::Folder(path) => path,
        Place::Postgres(settings) => settings.node_folder,
    })
}

fn database(text: &str, raw: &RawStore, environment: &Environment) -> anyhow::Result<PgSettings> {
    let settings =
        PgSettings::parse(text).map_err(|fault| usage(format!("the URL of the store: {fault}")))?;
    let settings = match environment.value("PGPASSWORD")? {
        Some(password) => settings.or_password(&password),
        None => settings,
    };
    let folder = PathBuf::from(raw.folder.as_deref().unwrap_or(STORE));
    let spool = match raw.spool.as_deref() {
        Some("off") => None,
        Some("") => {
            return Err(usage(
                "[store] spool is a folder, or \"off\" where no disk outlives the process"
                    .to_owned(),
            ));
        }
        Some(path) => Some(PathBuf::from(path)),
        None => Some(folder.join(SPOOL_FOLDER)),
    };
    Ok(settings.in_folder(folder, spool))
}

fn ring(raw: &RawRing, default: Ring) -> Ring {
    Ring {
        bytes_max: raw.bytes.map_or(default.bytes_max, |it| it.0),
        records_max: raw.records.unwrap_or(default.records_max),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(out, "{}", path.display()),
            Self::Postgres(settings) => write!(out, "{settings}"),
        }
    }
}

impl fmt::Debug for StoreText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("StoreText")
    }
}

impl From<String> for StoreText {
    fn from(text: String) -> Self {
        Self(text)
    }
}
