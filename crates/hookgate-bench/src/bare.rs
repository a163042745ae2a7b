//! The bare handler: reads the body and answers. What HTTP alone costs.

use anyhow::Result;
use axum::routing::post;
use bytes::Bytes;

/// Serves it on a free port of the loopback, which it prints.
pub(crate) async fn serve() -> Result<()> {
    let app = axum::Router::new().route("/webhook/retell", post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn handler(body: Bytes) -> ([(http::HeaderName, &'static str); 1], &'static str) {
    let answer = if body.is_empty() { r#"{"status":"empty"}"# } else { r#"{"status":"ok"}"# };
    ([(http::header::CONTENT_TYPE, "application/json")], answer)
}
