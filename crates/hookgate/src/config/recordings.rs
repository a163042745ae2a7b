//! `[recordings]`, checked: whether recordings are kept, and how large they may be.

use std::collections::BTreeMap;

use hookgate_dispatch::{Archiving, BYTES_MAX};

use super::raw::{RawRecordings, RawSource};
use super::usage;

/// More than a day of sound: whoever allows it has a disk for it.
const LARGEST_BYTES: u64 = 4 << 30;

pub(super) fn check(
    raw: &RawRecordings,
    sources: &BTreeMap<String, RawSource>,
) -> anyhow::Result<Archiving> {
    let bytes_max = raw.max_bytes.map_or(BYTES_MAX, |it| it.0);
    if !(1..=LARGEST_BYTES).contains(&bytes_max) {
        return Err(usage("[recordings] max_bytes must be 1 to 4 GiB".to_owned()));
    }
    let own = sources.iter().filter_map(|(name, it)| Some((name.clone(), it.archive_recordings?)));
    let by_default = raw.archive.unwrap_or(false);
    Ok(Archiving { by_default, sources: own.collect(), bytes_max })
}
