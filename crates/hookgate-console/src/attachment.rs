//! Bytes as a file to be saved: never rendered, never guessed at. Of a body the operator gets
//! them exactly, a tenant with known credentials masked; a recording whoever may hear it.

use std::io::{BufReader, Read, Take};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, HeaderValue,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use hookgate_core::json;
use hookgate_core::mask::Masker;
use hookgate_core::sound::Sound;
use hookgate_store::Large;
use http_body_util::channel::{Channel, Sender};
use tokio::runtime::Handle;

use crate::problem::Problem;
use crate::range::Part;

/// Read from a file at once, in bytes.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Chunks that wait for a slow client.
const CHUNKS_WAITING_MAX: usize = 2;

/// An answer with exactly these bytes, to be saved as `name`.
pub(crate) fn attachment(name: &str, body: hookgate_store::Body) -> Response {
    match body {
        hookgate_store::Body::Whole(bytes) => {
            let length = bytes.len() as u64;
            saved_as(name, Body::from(bytes), Some(length))
        }
        hookgate_store::Body::Large(large) => {
            let bytes = large.len();
            saved_as(name, streamed(large, bytes, None), Some(bytes))
        }
    }
}

/// An answer with these bytes, their credentials masked, to be saved as `name`.
pub(crate) async fn masked(name: &str, body: hookgate_store::Body) -> Result<Response, Problem> {
    match body {
        hookgate_store::Body::Whole(bytes) => {
            json::extract(&bytes, &[]).map_err(|_| Problem::Unmaskable)?;
            let mut shown = Vec::with_capacity(bytes.len());
            Masker::new().feed(&bytes, &mut shown);
            let length = shown.len() as u64;
            Ok(saved_as(name, Body::from(shown), Some(length)))
        }
        hookgate_store::Body::Large(mut file) => {
            let bytes = file.len();
            // What is not JSON all through is found before the first byte is sent.
            let walk = move || {
                let read = json::extract_from(BufReader::new(&mut file), &[]);
                read.map_err(|_| Problem::Unmaskable)?;
                let rewound = file.rewind();
                rewound.map_err(|error| Problem::failed("reading a large body", &error))?;
                Ok(file)
            };
            let file = match tokio::task::spawn_blocking(walk).await {
                Ok(walked) => walked?,
                Err(error) => return Err(Problem::failed("reading a large body", &error)),
            };
            Ok(saved_as(name, streamed(file, bytes, Some(Masker::new())), None))
        }
    }
}

/// An answer with a recording, or with the part of it that is asked for, to be saved as `name`.
pub(crate) fn sound(
    name: &str,
    sound: Sound,
    body: hookgate_store::Body,
    asked: &HeaderMap,
) -> Result<Response, Problem> {
    let bytes = body.len();
    let (first, count) = match Part::of(asked, bytes) {
        Part::Whole => (0, bytes),
        Part::From(first, last) => (first, last.saturating_sub(first).saturating_add(1)),
        Part::Outside => return Err(Problem::OutOfRange(bytes)),
    };
    let part = match body {
        hookgate_store::Body::Whole(whole) => {
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            let end = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(first);
            Body::from(whole.slice(first.min(whole.len())..end.min(whole.len())))
        }
        hookgate_store::Body::Large(mut large) => {
            let moved = large.go_to(first);
            moved.map_err(|error| Problem::failed("reading a recording", &error))?;
            streamed(large, count, None)
        }
    };
    let mut response = saved_as(name, part, Some(count));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sound.content_type()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let named = format!("attachment; filename=\"{name}.{}\"", sound.name());
    if let Ok(named) = HeaderValue::try_from(named) {
        headers.insert(CONTENT_DISPOSITION, named);
    }
    if count < bytes {
        let last = first.saturating_add(count).saturating_sub(1);
        if let Ok(range) = HeaderValue::try_from(format!("bytes {first}-{last}/{bytes}")) {
            headers.insert(CONTENT_RANGE, range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn saved_as(name: &str, body: Body, bytes: Option<u64>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(bytes) = bytes {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.bin\""));
    let nameless = HeaderValue::from_static("attachment");
    headers.insert(CONTENT_DISPOSITION, disposition.unwrap_or(nameless));
    response
}

/// A body that is read piece by piece as fast as its client takes it.
fn streamed(large: Large, bytes: u64, masker: Option<Masker>) -> Body {
    let (sender, channel) = Channel::new(CHUNKS_WAITING_MAX);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || stream(large.take(bytes), sender, masker, &runtime));
    Body::new(channel)
}

/// Sends what the body has, until the client hangs up. One that ends early breaks the
/// answer off, so that nobody takes a part for the whole.
fn stream(
    mut file: Take<Large>,
    mut sender: Sender<Bytes, std::io::Error>,
    mut masker: Option<Masker>,
    runtime: &Handle,
) {
    while file.limit() > 0 {
        let mut chunk = Vec::new();
        match file.by_ref().take(CHUNK_BYTES).read_to_end(&mut chunk) {
            Ok(0) => return sender.abort(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) => return sender.abort(error),
        }
        if let Some(masker) = &mut masker {
            let mut shown = Vec::with_capacity(chunk.len());
            masker.feed(&chunk, &mut shown);
            chunk = shown;
        }
        if runtime.block_on(sender.send_data(chunk.into())).is_err() {
            return;
        }
    }
}
