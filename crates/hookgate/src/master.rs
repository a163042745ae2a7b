//! The master keys that seal credentials: from a variable, else from the store's folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use hookgate_secrets::MasterKeys;
use hookgate_store::{NodeSeal, Store};

use crate::exit::Usage;
use crate::{dotenv, environment, output};

/// Where the master key lies that nobody gave. A backup leaves it out.
pub(crate) const KEY_FILE: &str = "master.key";

/// The keys of `HOOKGATE_MASTER_KEY` (`given`), else of the file in the store's folder.
pub(crate) fn find(given: Option<&str>, folder: &Path) -> anyhow::Result<Option<MasterKeys>> {
    let path = folder.join(KEY_FILE);
    let (text, place) = match given {
        Some(text) => (text.to_owned(), "HOOKGATE_MASTER_KEY".to_owned()),
        None if path.exists() => {
            let text = environment::read_value(&path)
                .with_context(|| format!("{} gives no key", path.display()))?;
            (text, path.display().to_string())
        }
        None => return Ok(None),
    };
    let keys = MasterKeys::parse(&text)
        .map_err(|fault| Usage::new(format!("{place}: {fault}; `hookgate init` makes one")))?;
    Ok(Some(keys))
}

/// What seals the configuration that a node keeps on its own disk.
pub(crate) fn node_seal(keys: MasterKeys) -> NodeSeal {
    let keys = Arc::new(keys);
    let sealing = Arc::clone(&keys);
    NodeSeal {
        seal: Arc::new(move |label, value| sealing.seal_for_node(label, value)),
        open: Arc::new(move |label, sealed| {
            keys.open_for_node(label, sealed).ok().map(|it| it.expose().to_vec())
        }),
    }
}

/// The same for a store in PostgreSQL, where they are given: two nodes that begin at once would
/// make two, and neither could read the other's.
pub(crate) fn find_given(given: Option<&str>, folder: &Path) -> anyhow::Result<MasterKeys> {
    find(given, folder)?.ok_or_else(|| {
        Usage::new(
            "a store in PostgreSQL needs a master key that is the same on every node: set \
             HOOKGATE_MASTER_KEY (or HOOKGATE_MASTER_KEY_FILE); `hookgate init` makes one",
        )
        .into()
    })
}

/// The same; where there are none and nothing is sealed yet, one is made and written.
pub(crate) async fn find_or_make(
    given: Option<&str>,
    folder: &Path,
    store: &Store,
) -> anyhow::Result<Option<MasterKeys>> {
    if let Some(keys) = find(given, folder)? {
        return Ok(Some(keys));
    }
    if !store.registry().data_keys().await?.is_empty() {
        // `Secrets::open` says what is missing.
        return Ok(None);
    }
    let (keys, text) = MasterKeys::generate().context("cannot draw a master key")?;
    let path = folder.join(KEY_FILE);
    dotenv::replace(&path, format!("{}\n", text.as_str()).as_bytes())
        .with_context(|| format!("cannot write a master key to {}", path.display()))?;
    output::remark(format_args!(
        "Wrote a master key to {}: keep a copy elsewhere, without it no credential opens.",
        path.display()
    ));
    Ok(Some(keys))
}
