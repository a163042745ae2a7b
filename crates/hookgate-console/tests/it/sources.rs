//! What the console says of the sources.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test]
async fn sources_are_shown_without_what_proves_their_requests() {
    let bench = Bench::new();
    let answer = bench.get("/api/v1/sources").await;
    let names = answer.column("name");
    assert_eq!(names, ["elevenlabs", "retell", "vapi", "mightycall", "tawk"]);
    let tawk = &answer.json()["data"][4];
    assert_eq!(
        *tawk,
        json!({
            "name": "tawk",
            "provider": "tawk",
            "paths": ["/in/tawk", "/tawk-webhook"],
            "urls": ["https://hooks.example/in/tawk", "https://hooks.example/tawk-webhook"],
            "verification": "enforce",
            "schemes": ["tawk.hmac_sha1"],
            "secrets": 1,
            "account_keys": 1,
            "body_bytes_max": 1_048_576,
            "large_body_bytes_max": 1_048_576,
        })
    );
    bench.get("/api/v1/sources?x=1").await.problem(400);
}
