//! Sets torn tails aside, so that nothing that was ever written disappears unseen.

use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::segment::{self, Segment, read_up_to};

/// Copied at once, in bytes.
const STEP_BYTES: u32 = 1 << 20;

/// Tails of the same place that are kept. More than one already means that the
/// process died again at the same byte; the thousandth is refused.
const COPIES_MAX: u32 = 1000;

/// Copies `range` of `segment` to a file in `lost/`, durably, then zeroes it in
/// place, so that appending can go on there. Gives the path of the copy.
pub(crate) fn set_aside(
    folder: &Path,
    log: &str,
    segment: &Segment,
    range: Range<u32>,
) -> io::Result<PathBuf> {
    let lost = folder.join("lost");
    disk::create_folder(&lost)?;
    let (copy, path) = create(&lost, &format!("{log}-{:016x}-{}", segment.number, range.start))?;
    for (at, bytes) in steps(&range) {
        let mut buffer = vec![0; bytes];
        read_up_to(&segment.file, &mut buffer, at.into())?;
        copy.write_all_at(&buffer, u64::from(at - range.start))?;
    }
    copy.sync_all()?;
    disk::sync_folder(&lost)?;

    let in_place = folder.join(log);
    let file = OpenOptions::new().write(true).open(segment::path_of(&in_place, segment.number))?;
    for (at, bytes) in steps(&range) {
        file.write_all_at(&vec![0; bytes], at.into())?;
    }
    file.sync_data()?;
    Ok(path)
}

fn create(lost: &Path, name: &str) -> io::Result<(std::fs::File, PathBuf)> {
    for copy in 1..COPIES_MAX {
        let name = if copy == 1 { format!("{name}.bin") } else { format!("{name}-{copy}.bin") };
        let path = lost.join(name);
        match disk::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (file, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The range in steps: where each starts, and its length.
fn steps(range: &Range<u32>) -> impl Iterator<Item = (u32, usize)> + use<> {
    let end = range.end;
    range
        .clone()
        .step_by(STEP_BYTES as usize)
        .map(move |at| (at, (end - at).min(STEP_BYTES) as usize))
}
