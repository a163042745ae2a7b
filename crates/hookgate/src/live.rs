//! The sources in force: those of the configuration, and those that were made over the API
//! and may come and go while the gateway runs.

use std::collections::HashMap;
use std::sync::Arc;

use hookgate_console::SourceSettings;
use hookgate_core::source::{CurrentSources, Source, Sources};
use hookgate_core::time::Timestamp;
use hookgate_ingress::Gate;
use hookgate_secrets::Secrets;
use hookgate_store::{SourceRow, Store};
use ipnet::IpNet;
use tokio::sync::watch;

use crate::config::{self, SourceConfig};
use crate::exit::Usage;

/// The sources of the configuration, which stay as they are.
pub(crate) struct Configured {
    sources: Sources,
    allow_from: HashMap<String, Vec<IpNet>>,
}

/// What follows the changes of the registry.
pub(crate) struct Live {
    pub(crate) configured: Configured,
    pub(crate) store: Store,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) current: Arc<CurrentSources>,
    /// The registry's changes that are not in force yet.
    pub(crate) changed: watch::Receiver<u64>,
    /// The version of the registry's sources that is in force.
    pub(crate) applied: watch::Sender<u64>,
    /// What was made, by name, with the time of its row: so that a door stays that did not
    /// change.
    pub(crate) made: HashMap<String, (Timestamp, Arc<Source>)>,
}

impl Configured {
    /// Takes the sources of the configuration, if all of them can be together.
    pub(crate) fn new(configs: Vec<SourceConfig>) -> anyhow::Result<Self> {
        let restricted = configs.iter().filter(|it| !it.allow_from.is_empty());
        let allow_from =
            restricted.map(|it| (it.source.name.clone(), it.allow_from.clone())).collect();
        let mut sources = Sources::default();
        for SourceConfig { source, paths, .. } in configs {
            let name = source.name.clone();
            sources
                .add(source, &paths)
                .map_err(|error| Usage::new(format!("[source.{name}] {error}: give it another")))?;
        }
        Ok(Self { sources, allow_from })
    }

    /// The networks from which each source takes requests.
    pub(crate) fn allow_from(&self) -> &HashMap<String, Vec<IpNet>> {
        &self.allow_from
    }

    /// After how many days the events of a source are erased, of those where they are.
    pub(crate) fn retention(&self) -> impl Iterator<Item = (String, u32)> {
        self.sources.iter().filter_map(|it| Some((it.name.clone(), it.retention_days?)))
    }
}

impl Live {
    /// Puts all sources in force as they are now. What was made and cannot be used is left
    /// out, and said.
    pub(crate) async fn apply(&mut self, gate: Option<&Gate>) {
        let version = *self.changed.borrow_and_update();
        let sources = Arc::new(self.sources().await);
        if let Some(gate) = gate {
            gate.set_sources(&sources, self.configured.allow_from());
        }
        self.current.set(sources);
        self.applied.send_replace(version);
    }

    async fn sources(&mut self) -> Sources {
        let mut all = self.configured.sources.clone();
        let before = std::mem::take(&mut self.made);
        for row in self.store.registry().sources().await {
            let name = &row.name;
            match self.make(&row, &before).await {
                Ok(source) => {
                    if let Err(error) = all.add(source, &[]) {
                        tracing::error!(source.id = name, error = %error, "a source is left out");
                    }
                }
                Err(error) => {
                    tracing::error!(
                        source.id = name,
                        error = format!("{error:#}"),
                        "a source is left out"
                    );
                }
            }
        }
        all
    }

    /// The source of a row: the one that is there, or a new one.
    async fn make(
        &mut self,
        row: &SourceRow,
        before: &HashMap<String, (Timestamp, Arc<Source>)>,
    ) -> anyhow::Result<Arc<Source>> {
        let kept = before.get(&row.name).filter(|(at, _)| *at == row.created_at);
        let source = if let Some((_, source)) = kept {
            Arc::clone(source)
        } else {
            let settings = SourceSettings::open(row, &self.secrets).await?;
            Arc::new(config::made(&settings)?)
        };
        self.made.insert(row.name.clone(), (row.created_at, Arc::clone(&source)));
        Ok(source)
    }

    /// Follows the registry for ever.
    pub(crate) async fn follow(mut self, gate: Arc<Gate>) {
        while self.changed.changed().await.is_ok() {
            self.apply(Some(&gate)).await;
        }
    }
}
