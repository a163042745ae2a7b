//! Recordings: written beside the journal, kept with their row, read within a scope.
//!
//! Whose a recording is, its event says: a row of the registry follows a decision a moment
//! later, so nothing is shown by it alone.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Arc;

use hookgate_core::received::Blob;
use hookgate_core::sound::{HEAD_BYTES, Sound};
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::blobs::BlobWriter;
use crate::body::{Body, Large};
use crate::embedded::Embedded;
use crate::error::{ReadError, Unavailable};
use crate::library::Library;
use crate::record::EventId;
use crate::registry::{
    LeasedRecording, Recording, RecordingFilter, RecordingId, RecordingState, Registry,
    RegistryError, Rows,
};

/// Read at once of a file that is looked through, in bytes.
const PIECE_BYTES: usize = 256 << 10;

impl Embedded {
    /// Begins the file of a recording. Nothing: its lease was lost, or it was erased.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: there is no room now.
    pub(crate) async fn begin_recording(
        &self,
        leased: &LeasedRecording,
    ) -> Result<Option<BlobWriter>, Unavailable> {
        self.admit(0)?;
        let files = Arc::clone(&self.inner().recordings);
        let writer = BlobWriter::begin(files, leased.id.0.into_bytes()).await?;
        // After the file is there: who erases it meanwhile has removed the row, or the file.
        match self.registry().holds_recording(leased).await {
            Ok(true) => Ok(Some(writer)),
            Ok(false) => Ok(None),
            Err(_) => Err(Unavailable::Failed),
        }
    }

    /// Keeps a recording that is complete. False: its lease was lost, or it was erased, and it
    /// is removed.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) async fn keep_recording(
        &self,
        leased: &LeasedRecording,
        blob: Blob,
        sound: Sound,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        let (inner, leased) = (Arc::clone(self.inner()), leased.clone());
        let keeping = tokio::task::spawn_blocking(move || {
            let files = &inner.recordings;
            let place = || files.keep(blob.id);
            let kept = inner.registry.keep_recording(&leased, (&blob, sound), now, place);
            if !matches!(kept, Ok(true)) {
                files.discard_unkept(blob.id);
            }
            kept
        });
        let doing = "keeping a recording";
        let failed = |error| RegistryError::Unavailable { doing, source: io::Error::other(error) };
        keeping.await.unwrap_or_else(|error| Err(failed(error)))
    }

    /// The file of a recording that lies in its place already: a crash came before that was
    /// noted. Whatever lies there is whole.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) async fn left_recording(
        &self,
        leased: &LeasedRecording,
    ) -> io::Result<Option<(Blob, Sound)>> {
        let (inner, id) = (Arc::clone(self.inner()), leased.id.0.into_bytes());
        let looking = tokio::task::spawn_blocking(move || {
            match fs::File::open(inner.layout.recordings().file(id)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                file => look_through(file?, id).map(Some),
            }
        });
        looking.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// A page of recordings, the newest first. A tenant sees those of events that it sees.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn recordings(
        &self,
        scope: &Scope,
        filter: RecordingFilter,
        page: Rows,
    ) -> Result<Vec<Recording>, ReadError> {
        let (registry, scope) = (self.registry().clone(), scope.clone());
        self.read(move |_, shelves| {
            page_of(&registry, &scope, &filter, page, |found| {
                let mut shown = HashSet::new();
                for event in found {
                    if is_shown(shelves, &scope, *event)? {
                        shown.insert(*event);
                    }
                }
                Ok(shown)
            })
        })
        .await
    }

    /// One recording; nothing if there is none within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn recording(
        &self,
        scope: &Scope,
        id: RecordingId,
    ) -> Result<Option<Recording>, ReadError> {
        let (registry, scope) = (self.registry().clone(), scope.clone());
        self.read(move |_, shelves| match registry.recording(id).map_err(unreadable)? {
            Some(found) if is_shown(shelves, &scope, found.event)? => Ok(Some(found)),
            _ => Ok(None),
        })
        .await
    }

    /// The bytes of a recording that was read within a scope. Nothing: it is not here.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn recorded(&self, recording: &Recording) -> Result<Option<Body>, ReadError> {
        if recording.state != RecordingState::Fetched {
            return Ok(None);
        }
        let (inner, id) = (Arc::clone(self.inner()), recording.id.0.into_bytes());
        let size = recording.size.unwrap_or(0);
        let opening = tokio::task::spawn_blocking(move || {
            match fs::File::open(inner.layout.recordings().file(id)) {
                // Erased since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                file => file.map(Some),
            }
        });
        let opened = opening.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        Ok(opened.map_err(ReadError::Io)?.map(|file| Body::Large(Large::file(file, size))))
    }
}

/// A page of recordings of which `shown` says which of their events are shown.
pub(crate) fn page_of(
    registry: &Registry,
    scope: &Scope,
    filter: &RecordingFilter,
    mut page: Rows,
    mut shown: impl FnMut(&[EventId]) -> Result<HashSet<EventId>, ReadError>,
) -> Result<Vec<Recording>, ReadError> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    loop {
        let found = registry.recordings(scope, filter, page).map_err(unreadable)?;
        let is_last = found.len() < limit;
        page.after = found.last().map(|it| it.n);
        let events: Vec<EventId> = found.iter().map(|it| it.event).collect();
        let shown = shown(&events)?;
        kept.extend(found.into_iter().filter(|it| shown.contains(&it.event)));
        // What is not shown leaves room for those behind it.
        if is_last || kept.len() >= limit {
            kept.truncate(limit);
            return Ok(kept);
        }
    }
}

/// Whether the event of a recording is within the scope and may be acted on.
fn is_shown(shelves: &[&Connection], scope: &Scope, event: EventId) -> Result<bool, ReadError> {
    Ok(Library::find(shelves, scope, event)?.is_some_and(|it| !it.is_quarantined))
}

pub(crate) fn unreadable(error: RegistryError) -> ReadError {
    ReadError::Io(io::Error::other(error))
}

fn look_through(mut file: fs::File, id: [u8; 16]) -> io::Result<(Blob, Sound)> {
    use std::io::Read as _;
    let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
    let (mut buffer, mut head) = (vec![0; PIECE_BYTES], Vec::new());
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let piece = buffer.get(..count).unwrap_or_default();
        let missing = HEAD_BYTES.saturating_sub(head.len());
        head.extend(piece.iter().take(missing));
        digest.update(piece);
        bytes = bytes.saturating_add(count as u64);
    }
    let sound = Sound::of(&head).unwrap_or(Sound::Unknown);
    Ok((Blob { id, bytes, sha256: digest.finalize().into() }, sound))
}
