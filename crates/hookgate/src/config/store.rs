//! `[store]`, checked.

use std::path::PathBuf;

use hookgate_store::{Options, Ring};

use super::raw::{RawRing, RawStore};
use super::{STORE, usage};
use crate::environment::Environment;

/// Where the store is and how it is opened.
pub(crate) struct StoreConfig {
    /// The folder.
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
            ..default
        };
        let (warn, full) = (options.disk_warn_percent, options.disk_full_percent);
        if warn == 0 || warn > full || full > 100 {
            return Err(usage(
                "[store] needs 0 < disk_warn_percent <= disk_full_percent <= 100".to_owned(),
            ));
        }
        Ok(Self { path: folder(raw, flag, environment)?, options })
    }
}

/// The store's folder: the flag over `HOOKGATE_STORE` over the file over the default.
pub(crate) fn folder(
    raw: &RawStore,
    flag: Option<&str>,
    environment: &Environment,
) -> anyhow::Result<PathBuf> {
    let text = match flag {
        Some(flag) => Some(flag.to_owned()),
        None => environment.value("HOOKGATE_STORE")?.or_else(|| raw.path.clone()),
    };
    let text = text.unwrap_or_else(|| STORE.to_owned());
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(usage(
            "this build has no PostgreSQL store yet: give a folder, as in --store hookgate.data"
                .to_owned(),
        ));
    }
    if text.is_empty() || text.contains("://") {
        return Err(usage(format!("--store {text}: give a folder, as in --store hookgate.data")));
    }
    Ok(PathBuf::from(text))
}

fn ring(raw: &RawRing, default: Ring) -> Ring {
    Ring {
        bytes_max: raw.bytes.map_or(default.bytes_max, |it| it.0),
        records_max: raw.records.unwrap_or(default.records_max),
    }
}
