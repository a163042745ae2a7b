//! Segment files: their names, and reading them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::format::{
    self, BATCH_HEADER, BLOCK, BLOCK_BYTES, BatchHeader, HeaderFault, SegmentHeader,
};
use crate::record::Position;

/// The name of the segment that is zeroed ahead, in the folder of its log.
pub(crate) const NEXT: &str = "next";
/// The same while it is not finished.
pub(crate) const NEXT_UNFINISHED: &str = "next.tmp";

/// The name of a fresh segment until it has its header.
pub(crate) const NEW: &str = "new.tmp";

/// Where segment `number` lies.
pub(crate) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.seg"))
}

/// The numbers of the segments in `folder`, ascending; none when it does not exist.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(entry?.file_name().to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Only the exact form that [`path_of`] gives, and only numbers that
/// [`Position::to_u64`] can carry.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|it| it.len() == 16)?;
    let is_lower_hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    let number =
        u64::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(is_lower_hex))?;
    (1..=u64::from(u32::MAX)).contains(&number).then_some(number)
}

/// An open segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) number: u64,
    /// `None` when it does not prove itself.
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) salt: u64,
}

/// Why a segment is not opened.
#[derive(Debug)]
pub(crate) enum OpenFault {
    Io(io::Error),
    Newer(u32),
}

impl Segment {
    /// Opens segment `number` of the log `name` in `folder`. A damaged header is no
    /// error: the batches prove themselves.
    pub(crate) fn open(folder: &Path, name: &str, number: u64) -> Result<Self, OpenFault> {
        let file = File::open(path_of(folder, number)).map_err(OpenFault::Io)?;
        let mut block = vec![0; BLOCK_BYTES];
        read_up_to(&file, &mut block, 0).map_err(OpenFault::Io)?;
        let header = match SegmentHeader::decode(&block) {
            Ok(header) if header.number == number && header.log == name => Some(header),
            Ok(_) | Err(HeaderFault::Damaged) => None,
            Err(HeaderFault::Newer(version)) => return Err(OpenFault::Newer(version)),
        };
        let salt = match &header {
            Some(header) => header.salt,
            None => salt_without_header(&file, folder, number).map_err(OpenFault::Io)?,
        };
        Ok(Self { file, number, header, salt })
    }

    /// The length of the file now, as far as an offset reaches.
    pub(crate) fn size(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.file.metadata()?.len()).unwrap_or(u32::MAX))
    }

    /// Whether the file was removed since it was opened.
    pub(crate) fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|it| it.nlink() == 0)
    }

    /// The batch header at `at`, if one proves itself there, and whether there is
    /// nothing but zeros instead.
    pub(crate) fn batch_at(&self, at: u32, size: u32) -> io::Result<Result<BatchHeader, IsZero>> {
        let mut bytes = [0; BATCH_HEADER];
        read_up_to(&self.file, &mut bytes, u64::from(at))?;
        let position = Position { segment: self.number, offset: at };
        Ok(BatchHeader::decode(&bytes, self.salt, position, size)
            .ok_or(IsZero(format::is_zero(&bytes))))
    }

    /// The first batch header at a block boundary in `from..to` that proves itself.
    pub(crate) fn find_batch(
        &self,
        from: u32,
        to: u32,
        size: u32,
    ) -> io::Result<Option<BatchHeader>> {
        /// Blocks read at once, in bytes.
        const WINDOW: u32 = 1 << 20;
        let mut window = Vec::new();
        let mut at = from;
        while at < to {
            let bytes = to.saturating_sub(at).min(WINDOW);
            window.resize(bytes as usize, 0);
            read_up_to(&self.file, &mut window, u64::from(at))?;
            for (index, block) in window.chunks(BLOCK_BYTES).enumerate() {
                let offset =
                    at.saturating_add(u32::try_from(index * BLOCK_BYTES).unwrap_or(u32::MAX));
                let position = Position { segment: self.number, offset };
                if let Some(header) = BatchHeader::decode(block, self.salt, position, size) {
                    return Ok(Some(header));
                }
            }
            at = at.saturating_add(WINDOW);
        }
        Ok(None)
    }

    /// Where the bytes that are not zero end, looking from `from` on.
    pub(crate) fn written_end(&self, from: u32) -> io::Result<u32> {
        let size = self.size()?;
        let mut window = vec![0; 1 << 20];
        let (mut at, mut end) = (from, from);
        while at < size {
            let read = read_up_to(&self.file, &mut window, u64::from(at))?;
            let bytes = window.get(..read).unwrap_or_default();
            if !format::is_zero(bytes)
                && let Some(last) = bytes.iter().rposition(|it| *it != 0)
            {
                end = at.saturating_add(u32::try_from(last + 1).unwrap_or(u32::MAX));
            }
            at = at.saturating_add(u32::try_from(read.max(1)).unwrap_or(u32::MAX));
        }
        Ok(end)
    }
}

/// There is no batch header; whether there is nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsZero(pub(crate) bool);

/// The salt of a segment whose own header is damaged: that of its first batch, which
/// stands at a place that no payload can choose, or else that of its neighbours,
/// which is the same.
fn salt_without_header(file: &File, folder: &Path, number: u64) -> io::Result<u64> {
    let mut bytes = [0; BATCH_HEADER];
    read_up_to(file, &mut bytes, u64::from(BLOCK))?;
    let position = Position { segment: number, offset: BLOCK };
    if BatchHeader::decode_any(&bytes, position).is_some() {
        return Ok(format::salt_of(&bytes));
    }
    let mut block = vec![0; BLOCK_BYTES];
    for neighbour in list(folder)?.into_iter().rev().filter(|it| *it != number) {
        read_up_to(&File::open(path_of(folder, neighbour))?, &mut block, 0)?;
        if let Ok(header) = SegmentHeader::decode(&block) {
            return Ok(header.salt);
        }
    }
    Ok(0)
}

/// Fills `buffer` from `at`; what lies behind the end of the file reads as zeros.
/// Gives the count of bytes that are there.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|it| !it.is_empty()) {
        match file.read_at(rest, at.saturating_add(filled as u64)) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
