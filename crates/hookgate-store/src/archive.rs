//! Reading a store from another process, whether or not a server writes it.
//!
//! The index first, then the journal behind it: what the index does not hold yet is read
//! into a small index of our own, which every look brings up to date. Without an index all
//! of the journal is read so.

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use hookgate_core::tenant::Scope;
use hookgate_journal::Reader;
use rusqlite::{Connection, Transaction};
use uuid::Uuid;

use crate::body::Body;
use crate::error::{OpenError, ReadError};
use crate::filter::{EventFilter, Page, RejectionFilter};
use crate::index::indexer::{self, CatchUpError};
use crate::index::{self, Index, Progress, Unusable};
use crate::layout::{self, Layout};
use crate::library::{Library, Shown};
use crate::lock;
use crate::options::Options;
use crate::record::{Event, EventId, Rejection};
use crate::registry;
use crate::registry::later::Later;
use crate::rejections::{List, RejectionShelf};

/// A store that is only read.
pub struct Archive {
    library: Library,
    rejections: RejectionShelf,
    state: Mutex<State>,
}

struct State {
    /// The store's index; nothing if it cannot be used.
    main: Option<Connection>,
    /// What lies behind it.
    tail: Index,
    /// How far the store's index had come when `tail` was begun.
    base: [Progress; 2],
    /// What was decided later.
    later: Later,
}

impl Archive {
    /// Opens the store in `folder` to read it. Takes no lock and changes nothing.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let layout = Layout::existing(folder)?;
        if layout.copying().exists() {
            return Err(OpenError::Unfinished(folder.display().to_string()));
        }
        registry::check_version(&layout.registry())?;
        let options = Options::default();
        let reader = open_reader(&layout, &options)?;
        let failed = |error| match error {
            Unusable::Database(error) => OpenError::database("reading", &layout.index(), error),
            other => OpenError::io("reading", &layout.index(), std::io::Error::other(other)),
        };
        let tail = Index::temporary().map_err(failed)?;
        let main =
            index::open_reader(&layout.index()).ok().filter(|it| index::progress_of(it).is_ok());
        let rejections =
            RejectionShelf { reader: open_rejections(&layout, &options)?, layout: layout.clone() };
        let registry = layout.registry();
        let later = Later::open(&registry)
            .map_err(|error| OpenError::database("reading", &registry, error))?;
        let state = State { main, tail, base: [Progress::default(); 2], later };
        Ok(Self { library: Library { reader, layout }, rejections, state: Mutex::new(state) })
    }

    /// A page of events.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<Event>, ReadError> {
        self.read(|shelves| {
            self.library.page(shelves, (&Scope::Operator, Shown::Events), filter, page)
        })
    }

    /// One event.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        self.read(|shelves| match Library::find(shelves, &Scope::Operator, id)? {
            Some(found) => self.library.event(shelves, &Scope::Operator, found),
            None => Ok(None),
        })
    }

    /// The exact bytes of an event's body. `None` if it was erased, or there is no such
    /// event.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn body(&self, id: EventId) -> Result<Option<Body>, ReadError> {
        self.read(|shelves| match Library::find(shelves, &Scope::Operator, id)? {
            Some(found) => self.library.body(&found),
            None => Ok(None),
        })
    }

    /// A page of refused requests.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn rejections(
        &self,
        filter: &RejectionFilter,
        page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        let list = Mutex::new(List::load(&self.rejections.reader)?);
        List::page(&list, &self.rejections, filter, page)
    }

    /// One refused request and its bytes.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        let list = Mutex::new(List::load(&self.rejections.reader)?);
        List::one(&list, &self.rejections, id)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&[&Connection]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let State { main, tail, base, later } = &mut *lock(&self.state);
        let main = match main {
            Some(connection) => {
                Some(connection.unchecked_transaction().map_err(ReadError::database)?)
            }
            None => None,
        };
        follow(main.as_ref(), (tail, base), later, &self.library.reader)?;
        let tail = tail.connection().unchecked_transaction().map_err(ReadError::database)?;
        // What is in one of them is not in the other.
        let mut shelves: Vec<&Connection> = vec![&tail];
        shelves.extend(main.as_deref());
        read(&shelves)
    }
}

/// Makes `tail` hold what the journal has and `main` has not.
fn follow(
    main: Option<&Transaction<'_>>,
    (tail, base): (&mut Index, &mut [Progress; 2]),
    later: &Later,
    reader: &Reader,
) -> Result<(), ReadError> {
    let progress = match main {
        Some(main) => index::progress_of(main).map_err(ReadError::database)?,
        None => [Progress::default(); 2],
    };
    if progress != *base {
        tail.clear(progress).map_err(ReadError::database)?;
        // What is decided of an event is in the index that has the event.
        let decided = main.map(|it| index::decisions_through(it)).transpose();
        let decided = decided.map_err(ReadError::database)?.unwrap_or_default();
        tail.set_decisions_through(decided).map_err(ReadError::database)?;
        *base = progress;
    }
    match indexer::follow(tail, reader, later, |_| {}) {
        // An index that knows more than the journal: what it knows is still readable.
        Ok(()) | Err(CatchUpError::Ahead) => Ok(()),
        Err(CatchUpError::Index(error)) => Err(ReadError::database(error)),
        Err(CatchUpError::Journal(error)) => {
            Err(ReadError::journal(error).unwrap_or(ReadError::Behind))
        }
    }
}

fn open_reader(layout: &Layout, options: &Options) -> Result<Reader, OpenError> {
    let folder = layout.journal();
    Reader::open(&folder, &layout::event_logs(options.unproven))
        .map_err(|error| reading(&folder, error))
}

fn open_rejections(layout: &Layout, options: &Options) -> Result<Reader, OpenError> {
    let folder = layout.rejections();
    Reader::open(&folder, &layout::rejection_logs(options.rejections))
        .map_err(|error| reading(&folder, error))
}

fn reading(folder: &Path, error: hookgate_journal::ReadError) -> OpenError {
    match error {
        hookgate_journal::ReadError::Io { doing, path, source } => {
            OpenError::io(doing, &path, source)
        }
        other => OpenError::io("reading", folder, std::io::Error::other(other)),
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Archive")
            .field("folder", &self.library.layout.root())
            .finish_non_exhaustive()
    }
}
