//! Senders that are a burden: heads without an end, and a large body.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use hookgate_core::digest::hmac_sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body::SECRET;

/// Connections that never finish their head.
const SLOW_HEADS: usize = 500;

/// A whole call as base64 audio.
const AUDIO_BYTES: usize = 90 * 1024 * 1024;

/// What goes out in one chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// Opens connections that begin a request and say no more. They end when dropped.
pub(crate) async fn slow_heads(address: &str) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(SLOW_HEADS);
    for _ in 0..SLOW_HEADS {
        let mut stream = TcpStream::connect(address).await.context("connecting")?;
        stream.write_all(b"POST /webhook/retell HTTP/1.1\r\nHost: x\r\nX-Slow: ").await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Sends one ElevenLabs audio event in chunks, and expects that it is stored.
pub(crate) async fn upload(address: String) -> Result<()> {
    let mut body = br#"{"type":"post_call_audio","event_timestamp":1,"data":{"conversation_id":"c","full_audio":""#.to_vec();
    body.resize(AUDIO_BYTES, b'A');
    body.extend_from_slice(br#""}}"#);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    let mut covered = format!("{seconds}.").into_bytes();
    covered.extend_from_slice(&body);
    let digest = hex::encode(hmac_sha256(SECRET.as_bytes(), &covered));
    drop(covered);

    let mut stream = TcpStream::connect(&address).await.context("connecting")?;
    let head = format!(
        "POST /webhook/post_conversation HTTP/1.1\r\nHost: x\r\nElevenLabs-Signature: t={seconds},v0={digest}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    for chunk in body.chunks(CHUNK_BYTES) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the large body was not stored");
    Ok(())
}
