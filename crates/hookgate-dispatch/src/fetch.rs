//! One attempt to fetch a recording: look its event up, read where it is, write it to a file
//! as it comes, and keep how that ended. [`run`] is its life.
//!
//! What holds:
//!
//! - **A link is used, and never kept or told.** It is read out of the event at each attempt;
//!   logs have ids and sentences of ours.
//! - **No credential goes along**, and no redirect is followed: no provider needs one, and a
//!   recording in private comes with a signed link.
//! - **In pieces.** However long a recording is, some hundred KiB of it are in memory.
//! - **What is no sound is not kept.** A server that has nothing says so in HTML, often with 200.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;
use bytes::Bytes;
use hookgate_core::digest::sha256;
use hookgate_core::json::text::TextAt;
use hookgate_core::sound::{HEAD_BYTES, Sound};
use hookgate_core::tenant::Scope;
use hookgate_egress::{Call, EgressError, Incoming, Reach, Url};
use hookgate_store::{Body, Event, LeasedRecording, ReadError, Status, Unavailable, Unfetched};
use http::{HeaderMap, Method, header};
use tokio::sync::mpsc;

use crate::archive::named;
use crate::dispatcher::{Shared, failed};
use crate::document::READ_BYTES_MAX;

/// How long a fetch may take in all: at this pace the largest recording comes at 7 Mbit/s.
pub(crate) const DEADLINE: Duration = Duration::from_mins(5);

/// How long a server may be silent in the middle of one.
const SILENCE: Duration = Duration::from_secs(30);

/// The waits between attempts. Links may live for ten minutes, and a recording may come into
/// its place a little after the event that names it.
const WAITS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// How long is waited for room.
const POSTPONED: Duration = Duration::from_secs(30);

/// Decoded at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces that wait to be written.
const PIECES_MAX: usize = 2;

/// Where `ElevenLabs` puts a call's sound, with its envelope and without.
const IN_BODY: [&[&str]; 2] = [&["data", "full_audio"], &["full_audio"]];

/// Base64 as it comes, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why there is no recording.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Another attempt may help.
    Passing(&'static str),
    /// No other attempt helps.
    Final(&'static str),
    /// There is no room here, or the store fails.
    Ours,
    /// Its event is gone, or it was erased.
    Gone,
}

/// Fetches a recording and keeps how that ended.
pub(crate) async fn run(shared: Arc<Shared>, leased: LeasedRecording) {
    let settings = &shared.settings;
    let cause = match fetch(&shared, &leased).await {
        Ok(bytes) => {
            settings.metrics.fetched("fetched");
            settings.metrics.fetched_bytes.inc_by(bytes);
            tracing::info!(
                recording.id = %leased.id, event.id = %leased.event, bytes, "a recording was fetched"
            );
            return;
        }
        Err(cause) => cause,
    };
    let now = shared.now();
    let wait = usize::try_from(leased.attempts).ok().and_then(|it| WAITS.get(it));
    let (word, end) = match cause {
        Cause::Passing(reason) => {
            let again = wait.map(|it| now.plus(*it));
            ("failed", Unfetched::Failed { reason, again })
        }
        Cause::Final(reason) => ("failed", Unfetched::Failed { reason, again: None }),
        Cause::Ours => ("postponed", Unfetched::Postponed { until: now.plus(POSTPONED) }),
        Cause::Gone => ("gone", Unfetched::Gone),
    };
    settings.metrics.fetched(word);
    if let Unfetched::Failed { reason, again } = &end {
        tracing::warn!(
            recording.id = %leased.id,
            event.id = %leased.event,
            attempt = leased.attempts.saturating_add(1),
            reason,
            is_given_up = again.is_none(),
            "a recording could not be fetched"
        );
    }
    if let Err(error) = settings.store.registry().settle_recording(&leased, end, now).await {
        // The lease runs out, and it is tried again.
        failed(&error, "the end of a fetch cannot be kept");
    }
}

/// Fetches and keeps a recording; gives its bytes.
async fn fetch(shared: &Shared, leased: &LeasedRecording) -> Result<u64, Cause> {
    let store = &shared.settings.store;
    let event = match store.event(&Scope::Operator, leased.event).await {
        Ok(Some(event)) if !event.is_erased && event.status == Status::Accepted => event,
        Ok(_) => return Err(Cause::Gone),
        Err(error) => return Err(unreadable(&error)),
    };
    let left = store.left_recording(leased).await.map_err(|error| {
        failed(&error, "the file of a recording cannot be read");
        Cause::Ours
    })?;
    let (blob, sound) = match left {
        Some(left) => left,
        None => download(shared, leased, &event).await?,
    };
    let bytes = blob.bytes;
    match store.keep_recording(leased, blob, sound, shared.now()).await {
        Ok(true) => Ok(bytes),
        Ok(false) => Err(Cause::Gone),
        Err(error) => {
            failed(&error, "a recording cannot be kept");
            Err(Cause::Ours)
        }
    }
}

/// Writes a recording to its file.
async fn download(
    shared: &Shared,
    leased: &LeasedRecording,
    event: &Event,
) -> Result<(hookgate_core::received::Blob, Sound), Cause> {
    let store = &shared.settings.store;
    // Before anything is asked for: a link may work once.
    let writer = store.begin_recording(leased).await.map_err(no_room)?;
    let mut writer = writer.ok_or(Cause::Gone)?;
    let mut flow = match leased.digest {
        Some(digest) => link(shared, event, digest).await?,
        None => inside(shared, event).await?,
    };
    let bytes_max = shared.settings.archiving.bytes_max;
    let announced = flow.announced_bytes();
    if announced.is_some_and(|it| it > bytes_max) {
        return Err(TOO_LARGE);
    }
    let (mut bytes, mut head) = (0_u64, Vec::new());
    let mut sound = None;
    while let Some(piece) = flow.next().await? {
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > bytes_max {
            return Err(TOO_LARGE);
        }
        if head.len() < HEAD_BYTES {
            let missing = HEAD_BYTES.saturating_sub(head.len());
            head.extend(piece.iter().take(missing));
            if head.len() == HEAD_BYTES {
                sound = Some(flow.sound(&head)?);
            }
        }
        writer.write(piece).await.map_err(no_room)?;
    }
    if bytes == 0 {
        return Err(Cause::Passing("nothing came"));
    }
    let sound = match sound {
        Some(sound) => sound,
        None => flow.sound(&head)?,
    };
    Ok((writer.finish().await.map_err(no_room)?, sound))
}

const TOO_LARGE: Cause =
    Cause::Final("it is larger than a recording may be ([recordings] max_bytes)");

fn no_room(error: Unavailable) -> Cause {
    tracing::warn!(error = %error, "a recording cannot be written now");
    Cause::Ours
}

fn unreadable(error: &ReadError) -> Cause {
    match error {
        // What is damaged stays so.
        ReadError::Damaged => Cause::Final("the event that names it is damaged"),
        error => {
            failed(error, "the event of a recording cannot be read");
            Cause::Ours
        }
    }
}

/// What comes of a recording.
enum Flow {
    Link(Box<Incoming>),
    Body(mpsc::Receiver<Result<Bytes, Cause>>),
}

impl Flow {
    fn announced_bytes(&self) -> Option<u64> {
        match self {
            Self::Link(incoming) => incoming.announced_bytes(),
            Self::Body(_) => None,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Self::Link(incoming) => incoming.chunk(SILENCE).await.map_err(|error| of(&error)),
            Self::Body(pieces) => pieces.recv().await.transpose(),
        }
    }

    /// What begins so.
    fn sound(&self, head: &[u8]) -> Result<Sound, Cause> {
        if let Some(sound) = Sound::of(head) {
            return Ok(sound);
        }
        let said = match self {
            Self::Link(incoming) => incoming.headers().get(header::CONTENT_TYPE),
            Self::Body(_) => None,
        };
        let said = said.and_then(|it| it.to_str().ok()).unwrap_or_default();
        // A text is none, whatever its server says.
        let is_text = head.trim_ascii_start().first().is_some_and(|it| matches!(it, b'<' | b'{'));
        if said.trim_start().starts_with("audio/") && !is_text {
            return Ok(Sound::Unknown);
        }
        Err(Cause::Passing("what came is no sound"))
    }
}

/// Asks for a recording that lies elsewhere.
async fn link(shared: &Shared, event: &Event, digest: [u8; 32]) -> Result<Flow, Cause> {
    const LOST: Cause = Cause::Final("the event does not name its link any more");
    let settings = &shared.settings;
    if event.size > READ_BYTES_MAX {
        return Err(LOST);
    }
    let held = shared.bodies.read(&settings.store, &Scope::Operator, event).await;
    let held = held.map_err(|error| unreadable(&error))?.ok_or(Cause::Gone)?;
    let urls = named(event, Some(&held.bytes)).into_iter().filter_map(|(_, it)| it.url);
    let url = urls.into_iter().find(|it| sha256(it.as_bytes()) == digest).ok_or(LOST)?;
    drop(held);
    let url = Url::parse(&url).map_err(|_| NO_LINK)?;
    let call = Call {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: DEADLINE,
        answer_bytes_max: 0,
        reach: Reach::Public,
    };
    let incoming = settings.egress.begin(call).await.map_err(|error| of(&error))?;
    let status = incoming.status();
    let cause = match status.as_u16() {
        200 => return Ok(Flow::Link(Box::new(incoming))),
        300..=399 => Cause::Final("the link leads on to another one, which is not followed"),
        401 | 403 => {
            Cause::Passing("the server does not give it (401 or 403): the link may be over")
        }
        404 => Cause::Passing("the server does not have it (404)"),
        410 => Cause::Passing("the server does not have it any more (410)"),
        429 => Cause::Passing("the server wants fewer requests (429)"),
        500..=599 => Cause::Passing("the server failed (5xx)"),
        _ => Cause::Passing("the server answered something else than the recording"),
    };
    Err(cause)
}

const NO_LINK: Cause = Cause::Final("its link is no https address");

/// What an error on the way means.
fn of(error: &EgressError) -> Cause {
    match error {
        EgressError::Scheme | EgressError::Host | EgressError::Header(_) => NO_LINK,
        EgressError::PlainHttp => Cause::Final(
            "its link is plain http, which is only for networks that the operator allows",
        ),
        EgressError::Refused(_) => {
            Cause::Final("its link leads to an address that may not be reached")
        }
        EgressError::Unresolved => Cause::Passing("the name of its server does not resolve"),
        EgressError::Connect(_) => Cause::Passing("its server cannot be reached"),
        EgressError::Certificate | EgressError::Tls => {
            Cause::Passing("its server's certificate is not trusted")
        }
        EgressError::TimedOut => Cause::Passing("it took too long"),
        EgressError::Broken => Cause::Passing("the connection broke off half-way"),
    }
}

/// Takes a recording out of the event's own body.
async fn inside(shared: &Shared, event: &Event) -> Result<Flow, Cause> {
    let store = &shared.settings.store;
    let body = store.body(&Scope::Operator, event.id).await;
    let body = body.map_err(|error| unreadable(&error))?.ok_or(Cause::Gone)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    // Ends with the body, or when nobody takes what it decodes.
    tokio::task::spawn_blocking(move || {
        if let Err(cause) = decode(body, &sender) {
            let _ = sender.blocking_send(Err(cause));
        }
    });
    Ok(Flow::Body(pieces))
}

fn decode(mut body: Body, into: &mpsc::Sender<Result<Bytes, Cause>>) -> Result<(), Cause> {
    for path in IN_BODY {
        let input: Box<dyn Read + '_> = match &mut body {
            Body::Whole(bytes) => Box::new(Cursor::new(bytes.clone())),
            Body::Large(large) => {
                large.rewind().map_err(|error| lost(&error))?;
                Box::new(large)
            }
        };
        let Some(text) = TextAt::find(input, path).map_err(|error| lost(&error))? else {
            continue;
        };
        let mut decoder = DecoderReader::new(text, &BASE64);
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let count = decoder.read(&mut piece).map_err(|error| lost(&error))?;
            piece.truncate(count);
            if count == 0 || into.blocking_send(Ok(piece.into())).is_err() {
                return Ok(());
            }
        }
    }
    Err(Cause::Final("the event's body does not hold it"))
}

/// What it means that a body cannot be decoded.
fn lost(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            Cause::Final("what the event's body holds is no base64")
        }
        _ => {
            failed(error, "the body of an event cannot be read");
            Cause::Ours
        }
    }
}
