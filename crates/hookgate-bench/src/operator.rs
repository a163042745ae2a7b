//! What the operator of a measured gateway asks of it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body::SECRET;

/// One request on a connection of its own. An answer that is no JSON comes back as text.
pub(crate) async fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\nAuthorization: Bearer {SECRET}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer with a head")?;
    ensure!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {head}\n{body}");
    Ok(serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}
