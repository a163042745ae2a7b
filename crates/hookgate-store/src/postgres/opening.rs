//! Opening a node.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::watch;

use super::arrival::{self, Beginning};
use super::cached::CacheFile;
use super::caching::Caching;
use super::counters::Counters;
use super::drain::Drainer;
use super::erase::Eraser;
use super::folded::Folder;
use super::outage::{DRAIN_MAX, STATEMENT_MAX};
use super::pool::Pool;
use super::queue::Queue;
use super::recordings::Recordings;
use super::spool::look_for_left_spool;
use super::spooling::Spooling;
use super::writer::{Connect, Desk, Writer};
use super::{End, Inner, Node, PgSettings, rings};
use crate::blobs::Blobs;
use crate::error::OpenError;
use crate::keeper::Keeper;
use crate::layout::{self, Layout};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::peers::{Peers, Shares};
use crate::random::Random;
use crate::space::{self, Space};
use crate::store::Wake;

/// What the node begins with when its database is away, in its folder.
const CACHE: &str = "cache";

impl Node {
    /// Opens a node, with the tables if nobody made them yet. Blocks, and must not be called
    /// on a thread of a runtime.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub(crate) fn open(
        settings: &PgSettings,
        options: Options,
        wake: Wake,
    ) -> Result<Self, OpenError> {
        let folder = &settings.node_folder;
        let connect = connector(settings.clone(), "events");
        let layout = Layout::new(folder);
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::io(doing, &path, error)
        };
        layout::create_folder(folder).map_err(failed("creating", folder))?;
        if settings.spool.is_none() {
            look_for_left_spool(folder)?;
        }
        let blobs = Blobs::open(&layout, options.blobs_in_flight_bytes_max)
            .map_err(failed("opening", &layout.blobs()))?;
        let recordings =
            Recordings::open(&layout).map_err(failed("opening", layout.recordings().root()))?;
        let random = Random::new().map_err(failed("drawing a number for", folder))?;
        let cache = settings
            .spool
            .as_ref()
            .and(options.node_seal.clone())
            .map(|seal| CacheFile::new(folder.join(CACHE), settings.to_string(), seal));
        let Beginning { registry, last_seq } =
            arrival::begin(settings, cache.as_ref(), options.start_wait)?;
        let spooling = match &settings.spool {
            None => None,
            Some(folder) => {
                let wake = Arc::clone(&wake);
                let spooling = Spooling::open(folder, &options, wake, registry.clone())?;
                if last_seq.is_some() {
                    spooling.seen();
                }
                Some(Arc::new(spooling))
            }
        };
        let (listed, _) = watch::channel(last_seq.unwrap_or(0));
        let desk = Arc::new(Desk {
            queue: Queue::new(options.pending_bytes_max, options.gather),
            registry: registry.clone(),
            blobs: Arc::new(blobs),
            listed,
            counters: Mutex::new(Counters::default()),
            repetitions: AtomicU64::new(0),
            away: Mutex::new(None),
            wake,
            spooling: spooling.clone(),
        });
        let ledger = Ledger::new(&registry, desk.listed.subscribe());
        let space = Space::new(folder, options.disk_warn_percent, options.disk_full_percent);
        // With a spool nobody waits for long.
        let quick = match spooling {
            None => Arc::clone(&connect),
            Some(_) => connector(settings.clone().answering_within(STATEMENT_MAX), "events"),
        };
        let writer = Writer::new(Arc::clone(&desk), quick, options.unproven);
        let drainer = spooling.clone().map(|spooling| {
            let patient = settings.clone().answering_within(DRAIN_MAX);
            let drainer = Drainer::new(spooling, ledger.clone(), connector(patient, "spool"));
            if last_seq.is_some() { drainer } else { drainer.arriving(settings.clone()) }
        });
        let caching = cache.zip(spooling).map(|(file, spooling)| {
            let registry = registry.clone();
            Caching { file, registry, spooling }
        });
        let (caching_ends, ends) = channel();
        let pool = Pool::new(Arc::clone(&connect));
        let listener = registry
            .listen_with(settings, {
                let desk = Arc::clone(&desk);
                Arc::new(move |seq| desk.note_listed(seq))
            })
            .map_err(failed("starting a thread for", folder))?;
        let following = (pool.clone(), registry.clone(), desk.listed.subscribe());
        let conversations = Arc::new(Folder::new(&connect, following));
        let eraser = Eraser::new(registry.clone(), pool.clone(), options.erasing.clone());
        let keeper = Keeper::start(eraser, options.housekeeping)
            .map_err(failed("starting a thread for", folder))?;
        let inner = Arc::new(Inner {
            registry,
            ledger,
            connect,
            desk,
            ring: rings::Ring::new(Peers::new(options.rejections_share)),
            recordings,
            uploads: Default::default(),
            upload_turn: AtomicUsize::new(0),
            unproven: Shares::new(options.unproven_share),
            random: Mutex::new(random),
            space,
            volatile: space::volatile(folder),
            threads: Mutex::default(),
            caching: Mutex::new(Some(caching_ends)),
            listener: Mutex::new(Some(listener)),
            pool,
            folder: conversations,
            keeper,
            options,
        });
        // From here on, what was started ends with the node.
        let node = Self { _end: Arc::new(End(Arc::clone(&inner))), inner };
        node.run(writer, drainer, caching.map(|it| (it, ends)))
            .map_err(failed("starting a thread for", folder))?;
        Ok(node)
    }

    /// Starts the threads.
    fn run(
        &self,
        writer: Writer,
        drainer: Option<Drainer>,
        caching: Option<(Caching, Receiver<()>)>,
    ) -> std::io::Result<()> {
        let committing = move || match drainer {
            None => writer.run(),
            Some(drainer) => writer.run_with(drainer),
        };
        self.start("append", committing)?;
        let inner = Arc::clone(&self.inner);
        self.start("refused", move || rings::run(&inner))?;
        if let Some((caching, ends)) = caching {
            self.start("cache", move || caching.run(&ends))?;
        }
        let following = Arc::clone(&self.inner.folder);
        self.start("conversations", move || following.run())
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        crate::lock(&self.inner.threads).push(thread);
        Ok(())
    }
}

/// Makes connections.
fn connector(settings: PgSettings, application: &'static str) -> Arc<Connect> {
    Arc::new(move || {
        let away = |error| std::io::Error::new(std::io::ErrorKind::NotConnected, error);
        settings.connect(application).map_err(away)
    })
}
