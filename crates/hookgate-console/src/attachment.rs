//! Exact bytes as a file to be saved: never rendered, never guessed at.

use std::fs::File;
use std::io::Read;

use axum::body::Body;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use tokio::runtime::Handle;

/// Read from a file at once, in bytes.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Chunks that wait for a slow client.
const CHUNKS_WAITING_MAX: usize = 2;

/// An answer with these bytes, to be saved as `name`.
pub(crate) fn attachment(name: &str, body: hookgate_store::Body) -> Response {
    let (bytes, body) = match body {
        hookgate_store::Body::Whole(bytes) => (bytes.len() as u64, Body::from(bytes)),
        hookgate_store::Body::File(file, bytes) => {
            let (sender, channel) = Channel::new(CHUNKS_WAITING_MAX);
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || stream(file, bytes, sender, &runtime));
            (bytes, Body::new(channel))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.bin\""));
    let nameless = HeaderValue::from_static("attachment");
    headers.insert(CONTENT_DISPOSITION, disposition.unwrap_or(nameless));
    response
}

/// Sends `bytes` of `file`, until the client hangs up. A file that ends early breaks the
/// answer off, so that nobody takes a part for the whole.
fn stream(mut file: File, bytes: u64, mut sender: Sender<Bytes, std::io::Error>, runtime: &Handle) {
    let mut left = bytes;
    while left > 0 {
        let mut chunk = Vec::new();
        match (&mut file).take(left.min(CHUNK_BYTES)).read_to_end(&mut chunk) {
            Ok(0) => return sender.abort(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => left = left.saturating_sub(read as u64),
            Err(error) => return sender.abort(error),
        }
        if runtime.block_on(sender.send_data(chunk.into())).is_err() {
            return;
        }
    }
}
