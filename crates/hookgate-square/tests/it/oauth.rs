//! Tokens that run out, and new ones.

use serde_json::json;

use crate::bench::Bench;

#[test]
fn a_token_that_ran_out_is_renewed_with_the_refresh_token() {
    let bench = Bench::new();
    assert_eq!(bench.get("/v2/locations").status, 200, "any token will do");
    bench.square.grant(("app", "hush"), "refresh", "any");
    assert_eq!(bench.get("/v2/locations").status, 200);
    bench.square.expire_tokens();
    assert_eq!(bench.get("/v2/locations").refusal(), "401 ACCESS_TOKEN_EXPIRED");

    let asked = json!({
        "client_id": "app", "client_secret": "hush",
        "grant_type": "refresh_token", "refresh_token": "refresh",
    });
    let answer = bench.post("/oauth2/token", &asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.body["access_token"].as_str().unwrap();
    let headers = format!("authorization: Bearer {token}\r\nsquare-version: 2025-08-20\r\n");
    assert_eq!(bench.call("GET", "/v2/locations", &headers, "").status, 200);
    assert_eq!(bench.square.shown()["tokens"], 1);

    for (field, value) in
        [("client_id", "other"), ("client_secret", "other"), ("refresh_token", "other")]
    {
        let mut asked = asked.clone();
        asked[field] = value.into();
        assert_eq!(bench.post("/oauth2/token", &asked).refusal(), "401 UNAUTHORIZED", "{field}");
    }
    bench.square.revoke_grants();
    assert_eq!(bench.call("GET", "/v2/locations", &headers, "").status, 401);
    assert_eq!(bench.post("/oauth2/token", &asked).refusal(), "401 UNAUTHORIZED");
}
