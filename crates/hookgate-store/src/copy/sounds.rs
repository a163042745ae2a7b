//! The sound of recordings: each file or its pieces, compared with its digest on its way.

use super::{CopyError, Side, Sink, Target, measured};
use crate::maintenance::Progress;
use crate::registry::RecordingId;
use uuid::Uuid;

/// A recording that is kept.
pub(super) struct Sound {
    pub(super) id: [u8; 16],
    pub(super) size: u64,
    sha256: Vec<u8>,
}

/// Those that a registry has: the statement, in either database.
pub(super) const SOUNDS: &str =
    "SELECT id, size, sha256 FROM recordings WHERE state = 'fetched' ORDER BY n";

impl Sound {
    /// What a row of [`SOUNDS`] says.
    pub(super) fn of(id: &[u8], size: Option<i64>, sha256: Option<Vec<u8>>) -> Option<Self> {
        let size = size.and_then(|it| u64::try_from(it).ok())?;
        Some(Self { id: id.try_into().ok()?, size, sha256: sha256? })
    }

    fn name(&self) -> RecordingId {
        RecordingId(Uuid::from_bytes(self.id))
    }
}

/// Copies the sound of every recording; gives how many. What is there already was compared when
/// it came.
pub(super) fn copy(
    source: &mut Side,
    target: &mut Target,
    progress: &mut impl FnMut(Progress),
) -> Result<u64, CopyError> {
    let sounds = source.sounds()?;
    let total = sounds.len() as u64;
    for (sound, done) in sounds.iter().zip(1_u64..) {
        if target.sound_bytes(sound.id)? != Some(sound.size) {
            target.write_sound(sound, source)?;
        }
        progress(Progress { stage: "recordings", done, total });
    }
    Ok(total)
}

/// That the sound of every recording is there.
pub(super) fn compare(made: &mut Side) -> Result<(), CopyError> {
    for sound in made.sounds()? {
        if made.sound_bytes(sound.id)? != Some(sound.size) {
            return Err(CopyError::Differs(format!("recording {}", sound.name())));
        }
    }
    Ok(())
}

impl Side {
    /// Gives a recording piece by piece, and says in the end whether it is what was kept.
    pub(super) fn sound(&mut self, sound: &Sound, sink: &mut Sink<'_>) -> Result<(), CopyError> {
        let (bytes, digest) = measured(sink, |pass| match self {
            Self::Folder(it) => it.sound(sound.id, pass),
            Self::Database(it) => it.sound(sound.id, pass),
        })?;
        if bytes == sound.size && digest[..] == *sound.sha256 {
            return Ok(());
        }
        Err(CopyError::Damaged(format!("recording {} is not what was kept", sound.name())))
    }

    fn sounds(&mut self) -> Result<Vec<Sound>, CopyError> {
        let found = match self {
            Self::Folder(it) => it.sounds()?,
            Self::Database(it) => it.sounds()?,
        };
        let damaged = || CopyError::Damaged("the row of a recording is damaged".to_owned());
        found.into_iter().map(|it| it.ok_or_else(damaged)).collect()
    }

    fn sound_bytes(&mut self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        match self {
            Self::Folder(it) => it.sound_bytes(id),
            Self::Database(it) => it.sound_bytes(id),
        }
    }
}
