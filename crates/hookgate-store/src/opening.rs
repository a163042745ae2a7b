//! Opening a store: in the order in which each part needs the one before.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use hookgate_journal::{Journal, Recovery};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::dedupe::{Dedupe, Known};
use crate::door::Door;
use crate::erasure::Eraser;
use crate::error::{OpenError, is_broken};
use crate::index::indexer::{CatchUpError, Indexer, follow, oldest_segment};
use crate::index::pool::Pool;
use crate::index::{self, Index, Unusable};
use crate::inner::{Inner, Scratch};
use crate::keeper::Keeper;
use crate::layout::{self, Layout, UNPROVEN};
use crate::ledger::{HasFailed, Ledger};
use crate::library::Library;
use crate::limits::READS_MAX;
use crate::options::{Options, RECORDINGS_IN_FLIGHT_BYTES_MAX};
use crate::peers::{Peers, Shares};
use crate::priority::lower_priority;
use crate::projection::{Fold, Projection};
use crate::random::Random;
use crate::registry::later::Later;
use crate::registry::{self, Registry};
use crate::rejections::{Rejections, now};
use crate::snapshot;
use crate::space::{self, Space};
use crate::store::Wake;

/// Opens the store in `folder`: the lock first, with the journal; then what cannot be
/// made again; then what can.
pub(crate) fn open(folder: &Path, options: Options, wake: Wake) -> Result<Inner, OpenError> {
    let layout = Layout::new(folder);
    if layout.copying().exists() {
        return Err(OpenError::Unfinished(folder.display().to_string()));
    }
    registry::check_version(&layout.registry())?;
    layout::create_folder(folder).map_err(|error| OpenError::io("creating", folder, error))?;
    let (journal, recovery) = open_journal(&layout, &options, wake)?;
    let registry = registry::open(&layout.registry())?;
    recover(&registry, &layout)?;
    let blobs = Blobs::open(&layout, options.blobs_in_flight_bytes_max)
        .map_err(|error| OpenError::io("opening", &layout.blobs(), error))?;
    let blobs = Arc::new(blobs);
    let recordings = Blobs::of_recordings(&layout, RECORDINGS_IN_FLIGHT_BYTES_MAX)
        .map_err(|error| OpenError::io("opening", layout.recordings().root(), error))?;
    let later = open_later(&layout)?;
    let (mut index, was_rebuilt) = open_index(&layout, &journal, &later, |_| {})?;
    let failed = |error| OpenError::database("reading", &layout.index(), error);
    let oldest_unproven = oldest_segment(&journal, UNPROVEN);
    for blob in index.evict(oldest_unproven).map_err(failed)? {
        blobs.discard(blob);
    }
    let dedupe = known_keys(&mut index, &registry, options.generation_keys_max)
        .map_err(|error| OpenError::io("reading", &layout.registry(), error))?;
    let merged = index.merged().map_err(failed)?;
    let orphaned_blobs = if recovery.corrupt.is_empty() && recovery.missing.is_none() {
        remove_orphans(&layout, &index)
            .map_err(|error| OpenError::io("reading", &layout.blobs(), error))?
    } else {
        // A damaged record may have named it.
        0
    };
    let rejections = Arc::new(open_rejections(&layout, &options)?);
    let random =
        Random::new().map_err(|error| OpenError::io("drawing a number for", folder, error))?;

    let pool = Arc::new(Pool::new(layout.index()));
    let library = Library { reader: journal.reader(), layout: layout.clone() };
    let door = Arc::new(Door::new(journal, registry.clone(), dedupe, options.index_lag_max));
    registry.attach(Arc::clone(&pool), has_failed(&door));
    let indexer = Indexer {
        door: Arc::clone(&door),
        index,
        path: layout.index(),
        pool: Arc::clone(&pool),
        blobs: Arc::clone(&blobs),
        later,
        keys_max: options.generation_keys_max,
        merged,
        oldest_unproven,
        done: door.journal().durable_seq(),
        merging: None,
        has_given_up: false,
    };
    let no_thread = |error| OpenError::io("starting a thread for", folder, error);
    let thread = thread::Builder::new().name("index".to_owned()).spawn(move || indexer.run());
    let thread = thread.map_err(no_thread)?;

    let (fold, folder_thread) = start_folding(&layout, &door, &pool, &library, &registry)?;
    let deciding = Arc::new(Mutex::new(()));
    let eraser = Eraser {
        registry: registry.clone(),
        door: Arc::clone(&door),
        pool: Arc::clone(&pool),
        library: library.clone(),
        rejections: Arc::clone(&rejections),
        fold: Arc::clone(&fold),
        deciding: Arc::clone(&deciding),
        hook: options.erasing.clone(),
        progress: watch::Sender::new(0),
        turn: Mutex::new(()),
        is_stopping: AtomicBool::new(false),
    };
    let keeper = Keeper::start(eraser, options.housekeeping).map_err(no_thread)?;
    let space = Space::new(folder, options.disk_warn_percent, options.disk_full_percent);
    Ok(Inner {
        ledger: Ledger::new(&registry, door.indexed()),
        registry,
        receipted: AtomicU64::new(door.journal().durable_seq()),
        door,
        pool,
        library,
        blobs,
        recordings: Arc::new(recordings),
        rejections,
        keeper,
        fold,
        deciding,
        unproven: Shares::new(options.unproven_share),
        scratch: Mutex::new(Scratch { random, buffers: Vec::new() }),
        space,
        last: Default::default(),
        repetitions: AtomicU64::new(0),
        reads: Arc::new(Semaphore::new(READS_MAX)),
        indexer: Mutex::new(Some(thread)),
        folder: Mutex::new(Some(folder_thread)),
        is_closing: AtomicBool::new(false),
        was_rebuilt,
        volatile: space::volatile(folder),
        recovered: report(&recovery, orphaned_blobs),
        layout,
        options,
    })
}

/// Opens the journal of events, and takes the lock of the folder with it.
pub(crate) fn open_journal(
    layout: &Layout,
    options: &Options,
    wake: Wake,
) -> Result<(Journal, Recovery), OpenError> {
    let known_durable = index::open_reader(&layout.index())
        .ok()
        .and_then(|connection| index::progress_of(&connection).ok())
        .and_then(|progress| progress.iter().map(|it| it.seq).max())
        .filter(|it| *it > 0);
    let logs = layout::event_logs(options.unproven);
    let settings = layout::event_settings(options, known_durable);
    let opened = match &options.faults.0 {
        None => Journal::open(&layout.journal(), &logs, settings, wake),
        Some(faults) => {
            Journal::open_with_faults(&layout.journal(), &logs, settings, wake, Arc::clone(faults))
        }
    };
    let (journal, recovery) = opened.map_err(OpenError::journal)?;
    for torn in &recovery.torn {
        let moved_to = torn.moved_to.display();
        tracing::warn!(bytes = torn.bytes, %moved_to, "the journal ended in a write that never finished; it was set aside");
    }
    for corrupt in &recovery.corrupt {
        tracing::error!(
            segment = corrupt.segment,
            offset = corrupt.offset,
            bytes = corrupt.bytes,
            "a part of the journal is damaged: check the disk, and restore what is missed from a backup"
        );
    }
    if let Some(missing) = &recovery.missing {
        tracing::error!(
            first_seq = missing.start(),
            last_seq = missing.end(),
            "records are missing from the journal: restore them from a backup"
        );
    }
    Ok((journal, recovery))
}

/// Opens the index and brings it up to the journal; makes it anew where it cannot be
/// used. Says whether it did.
pub(crate) fn open_index(
    layout: &Layout,
    journal: &Journal,
    later: &Later,
    mut note: impl FnMut(u64),
) -> Result<(Index, bool), OpenError> {
    let path = layout.index();
    let reader = journal.reader();
    let reason = match Index::open(&path) {
        Ok(mut index) => match follow(&mut index, &reader, later, &mut note) {
            Ok(()) => return Ok((index, false)),
            Err(CatchUpError::Index(error)) if !is_broken(&error) => {
                return Err(OpenError::database("writing", &path, error));
            }
            Err(CatchUpError::Journal(error)) => return Err(unreadable(layout, error)),
            Err(error @ (CatchUpError::Ahead | CatchUpError::Index(_))) => Some(error.to_string()),
        },
        Err(Unusable::Absent) => None,
        Err(Unusable::Database(error)) if !is_broken(&error) => {
            return Err(OpenError::database("opening", &path, error));
        }
        Err(error) => Some(error.to_string()),
    };
    let is_new = journal.next_seq() <= 1;
    if let Some(reason) = &reason {
        tracing::warn!(reason, "the index cannot be used and is made anew from the journal");
    } else if !is_new {
        tracing::info!("there is no index; it is made from the journal");
    }
    let failed = |error| match error {
        Unusable::Database(error) => OpenError::database("creating", &path, error),
        other => OpenError::io("creating", &path, io::Error::other(other)),
    };
    let mut index = Index::create(&path).map_err(failed)?;
    match follow(&mut index, &reader, later, note) {
        Ok(()) => Ok((index, !is_new)),
        Err(CatchUpError::Index(error)) => Err(OpenError::database("writing", &path, error)),
        Err(CatchUpError::Journal(error)) => Err(unreadable(layout, error)),
        Err(error @ CatchUpError::Ahead) => {
            Err(OpenError::io("reading", &path, io::Error::other(error)))
        }
    }
}

/// Opens the conversations, and starts the thread that follows the journal into them.
fn start_folding(
    layout: &Layout,
    door: &Arc<Door>,
    pool: &Arc<Pool>,
    library: &Library,
    registry: &Registry,
) -> Result<(Arc<Fold>, JoinHandle<()>), OpenError> {
    let path = layout.conversations();
    let fold = Arc::new(Fold {
        projection: Projection::open(&path, registry.store_id())?,
        door: Arc::clone(door),
        pool: Arc::clone(pool),
        library: library.clone(),
        registry: registry.clone(),
    });
    let folding = Arc::clone(&fold);
    let builder = thread::Builder::new().name("conversations".to_owned());
    let thread = builder.spawn(move || {
        // What it does at once takes tens of milliseconds, and callers want the same cores.
        lower_priority();
        folding.run();
    });
    let thread = thread.map_err(|error| OpenError::io("starting a thread for", &path, error))?;
    Ok((fold, thread))
}

/// Says in the registry what the end of the process before means for what was under way.
fn recover(registry: &Registry, layout: &Layout) -> Result<(), OpenError> {
    let unchangeable =
        |error| OpenError::io("changing", &layout.registry(), io::Error::other(error));
    let interrupted = registry.note_interrupted().map_err(unchangeable)?;
    if interrupted > 0 {
        tracing::warn!(calls = interrupted, "nobody knows how these tool calls ended");
    }
    registry.finish_removals().map_err(unchangeable)?;
    let voided = registry.void_leases(now()).map_err(unchangeable)?;
    if voided > 0 {
        tracing::info!(deliveries = voided, "deliveries that were under way are tried again");
    }
    registry.void_recordings().map_err(unchangeable)
}

fn unreadable(layout: &Layout, error: hookgate_journal::ReadError) -> OpenError {
    OpenError::io("reading", &layout.journal(), io::Error::other(error))
}

/// Reads what came after the events, which an index takes in as well.
pub(crate) fn open_later(layout: &Layout) -> Result<Later, OpenError> {
    let path = layout.registry();
    Later::open(&path).map_err(|error| OpenError::database("reading", &path, error))
}

/// Asks the journal whether the event that has a place was lost. The registry outlives no
/// door: it does not hold it.
fn has_failed(door: &Arc<Door>) -> HasFailed {
    let door = Arc::downgrade(door);
    Box::new(move |seq| door.upgrade().is_some_and(|it| it.journal().has_failed(seq)))
}

/// What is known of repetitions, from the index; and of those events whose segments are
/// gone, from the registry.
fn known_keys(index: &mut Index, registry: &Registry, keys_max: usize) -> io::Result<Dedupe> {
    let failed = |error: rusqlite::Error| io::Error::other(error);
    index.merge_from_events(keys_max, 0).map_err(failed)?;
    let dropped = registry.dropped_keys().map_err(io::Error::other)?;
    let (mut bloom, count) = index.bloom(dropped).map_err(failed)?;
    registry.fill(&mut bloom).map_err(io::Error::other)?;
    let mut dedupe = Dedupe::new(keys_max, bloom, count);
    for (key, seq, id) in index.young_keys().map_err(failed)? {
        dedupe.insert(key, Known { seq, id: Uuid::from_bytes(id), digest: None });
    }
    Ok(dedupe)
}

fn open_rejections(layout: &Layout, options: &Options) -> Result<Rejections, OpenError> {
    let folder = layout.rejections();
    let logs = layout::rejection_logs(options.rejections);
    let settings = layout::rejection_settings(options);
    let (journal, _) = Journal::open(&folder, &logs, settings, hookgate_journal::wake_inline())
        .map_err(OpenError::journal)?;
    let peers = Peers::new(options.rejections_share);
    Rejections::open(journal, layout, peers, options.rejections.bytes_max / 2)
        .map_err(|error| OpenError::io("reading", &folder, error))
}

/// Removes large bodies that no record names: a crash came between moving them to their
/// place and writing the record, so nobody was told that they are stored.
fn remove_orphans(layout: &Layout, index: &Index) -> io::Result<u64> {
    let mut removed = 0_u64;
    for shelf in fs::read_dir(layout.blobs())? {
        let shelf = shelf?;
        if shelf.file_name() == "tmp" || !shelf.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(shelf.path())? {
            let file = file?;
            let id = file
                .file_name()
                .to_str()
                .and_then(|it| <[u8; 16]>::try_from(hex::decode(it).ok()?).ok());
            let Some(id) = id else { continue };
            if !index.names_blob(id).map_err(io::Error::other)? {
                layout::remove(&file.path())?;
                removed = removed.saturating_add(1);
            }
        }
    }
    if removed > 0 {
        tracing::info!(removed, "large bodies of requests that were never accepted were removed");
    }
    Ok(removed)
}

fn report(recovery: &Recovery, orphaned_blobs: u64) -> snapshot::Recovered {
    snapshot::Recovered {
        torn: recovery.torn.len() as u64,
        corrupt: recovery.corrupt.len() as u64,
        missing: recovery
            .missing
            .as_ref()
            .map_or(0, |it| it.end().saturating_sub(*it.start()).saturating_add(1)),
        orphaned_blobs,
    }
}
