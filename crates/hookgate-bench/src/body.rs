//! Requests that are new each time: a Retell event of 2,560 bytes, signed afresh.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hookgate_core::digest::hmac_sha256;

/// The length of a body, as in the published figures of other servers.
pub(crate) const BODY_BYTES: usize = 2560;

/// The key both sides know.
pub(crate) const SECRET: &str = "key_0f3c9a7be1d24c58a6b0d1e2f3a4";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A body that no other request has.
pub(crate) fn fresh() -> Vec<u8> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let start = format!(
        r#"{{"event":"call_ended","call":{{"call_type":"phone_call","call_id":"call_{}_{number:016x}","agent_id":"oBeDLoLOeuAbiuaMFXRtDOLriTJ5tSxD","direction":"inbound","from_number":"+12137771234","to_number":"+12137771235","call_status":"ended","metadata":{{"a":1}},"start_timestamp":1714608475945,"end_timestamp":1714608491736,"disconnection_reason":"user_hangup","transcript_object":["#,
        std::process::id(),
    );
    let mut body = start.into_bytes();
    let turn = br#"{"role":"agent","content":"Thanks for calling, how can I help you today?","words":[{"word":"Thanks","start":0.5,"end":0.7}]},"#;
    let end = br#"{"role":"user"}],"transcript":""#;
    while body.len() + turn.len() + end.len() + 8 < BODY_BYTES {
        body.extend_from_slice(turn);
    }
    body.extend_from_slice(end);
    body.resize(BODY_BYTES - 3, b'x');
    body.extend_from_slice(br#""}}"#);
    body
}

/// The whole request for `body`, signed now.
pub(crate) fn request(body: &[u8]) -> Vec<u8> {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut covered = Vec::with_capacity(body.len() + 16);
    covered.extend_from_slice(body);
    covered.extend_from_slice(millis.to_string().as_bytes());
    let digest = hex::encode(hmac_sha256(SECRET.as_bytes(), &covered));
    let mut request = format!(
        "POST /webhook/retell HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: axios/1.7.2\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nX-Retell-Signature: v={millis},d={digest}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}
