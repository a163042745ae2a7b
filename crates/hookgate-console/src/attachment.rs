//! Bytes as a file to be saved: never rendered, never guessed at. The operator gets them
//! exactly, a tenant with known credentials masked.

use std::io::{BufReader, Read};

use axum::body::Body;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
};
use axum::response::Response;
use bytes::Bytes;
use hookgate_core::json;
use hookgate_core::mask::Masker;
use hookgate_store::Large;
use http_body_util::channel::{Channel, Sender};
use tokio::runtime::Handle;

use crate::problem::Problem;

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
            saved_as(name, streamed(large, None), Some(bytes))
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
            Ok(saved_as(name, streamed(file, Some(Masker::new())), None))
        }
    }
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

/// A body that is read from a file as fast as its client takes it.
fn streamed(large: Large, masker: Option<Masker>) -> Body {
    let (sender, channel) = Channel::new(CHUNKS_WAITING_MAX);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || stream(large, sender, masker, &runtime));
    Body::new(channel)
}

/// Sends what the body has, until the client hangs up. One that ends early breaks the
/// answer off, so that nobody takes a part for the whole.
fn stream(
    large: Large,
    mut sender: Sender<Bytes, std::io::Error>,
    mut masker: Option<Masker>,
    runtime: &Handle,
) {
    let bytes = large.len();
    let mut file = large.take(bytes);
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
