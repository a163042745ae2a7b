//! What a recording is, by its first bytes: a closed list, so that whoever serves one names a
//! type that is ours and not a server's word.

/// Bytes from the beginning of a file that tell what it is.
pub const HEAD_BYTES: usize = 16;

/// A format of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sound {
    /// MPEG audio: what most platforms give.
    Mp3,
    /// RIFF: Retell's and Vapi's, often with a channel for each side.
    Wav,
    /// Ogg, whatever is in it.
    Ogg,
    /// FLAC.
    Flac,
    /// MPEG-4.
    M4a,
    /// Matroska and `WebM`.
    Webm,
    /// AAC in ADTS frames.
    Aac,
    /// AMR.
    Amr,
    /// Sun's and `NeXT`'s.
    Au,
    /// AIFF.
    Aiff,
    /// What its server calls audio, and nothing else is known of.
    Unknown,
}

impl Sound {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Mp3,
        Self::Wav,
        Self::Ogg,
        Self::Flac,
        Self::M4a,
        Self::Webm,
        Self::Aac,
        Self::Amr,
        Self::Au,
        Self::Aiff,
        Self::Unknown,
    ];

    /// What begins so; nothing if that is no sound that is known here.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let found = match head {
            [b'I', b'D', b'3', ..] => Self::Mp3,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Self::Wav,
            [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Self::Aiff,
            [b'O', b'g', b'g', b'S', ..] => Self::Ogg,
            [b'f', b'L', b'a', b'C', ..] => Self::Flac,
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Self::M4a,
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Webm,
            [b'#', b'!', b'A', b'M', b'R', ..] => Self::Amr,
            [b'.', b's', b'n', b'd', ..] => Self::Au,
            // Eleven bits are set in front of a frame; two say the layer, and AAC has none.
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Self::Aac,
            [0xff, second, third, ..]
                if second & 0xe0 == 0xe0
                    && second & 0x18 != 0x08
                    && second & 0x06 != 0
                    && third & 0xf0 != 0xf0 =>
            {
                Self::Mp3
            }
            _ => return None,
        };
        Some(found)
    }

    /// Its name, as it is kept.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Ogg => "ogg",
            Self::Flac => "flac",
            Self::M4a => "m4a",
            Self::Webm => "webm",
            Self::Aac => "aac",
            Self::Amr => "amr",
            Self::Au => "au",
            Self::Aiff => "aiff",
            Self::Unknown => "bin",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The type that it is served as.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Ogg => "audio/ogg",
            Self::Flac => "audio/flac",
            Self::M4a => "audio/mp4",
            Self::Webm => "audio/webm",
            Self::Aac => "audio/aac",
            Self::Amr => "audio/amr",
            Self::Au => "audio/basic",
            Self::Aiff => "audio/aiff",
            Self::Unknown => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_known_by_its_first_bytes() {
        for (head, sound) in [
            (&b"ID3\x04\0\0"[..], Some(Sound::Mp3)),
            (b"\xff\xfb\x90\x64\0", Some(Sound::Mp3)),
            (b"\xff\xf3\x44\xc4\0", Some(Sound::Mp3)),
            (b"\xff\xf1\x50\x80", Some(Sound::Aac)),
            (b"RIFF\x24\0\0\0WAVEfmt ", Some(Sound::Wav)),
            (b"OggS\0", Some(Sound::Ogg)),
            (b"\0\0\0\x20ftypM4A ", Some(Sound::M4a)),
            (b"<!DOCTYPE html>", None),
            (b"{\"error\":\"expired\"}", None),
            (b"<?xml version=\"1.0\"?><Error>", None),
            (b"RIFF\x24\0\0\0AVI ", None),
            (b"\xff\xff\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(Sound::of(head), sound, "{head:?}");
        }
    }

    #[test]
    fn every_sound_has_a_name_of_its_own() {
        for sound in Sound::ALL {
            assert_eq!(Sound::named(sound.name()), Some(sound));
        }
    }
}
