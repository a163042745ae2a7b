//! The location, the services and the customers.

use serde_json::json;

use crate::bench::{Bench, HAIRCUT, LOCATION};

#[test]
fn the_location_says_its_time_zone() {
    let bench = Bench::new();
    let listed = bench.get("/v2/locations").body;
    assert_eq!(listed["locations"][0]["timezone"], "America/New_York");
    for id in [LOCATION, "main"] {
        let shown = bench.get(&format!("/v2/locations/{id}")).body;
        assert_eq!(shown["location"], listed["locations"][0]);
    }
    assert_eq!(bench.get("/v2/locations/elsewhere").refusal(), "404 NOT_FOUND");
}

#[test]
fn services_are_found_by_text_and_kind() {
    let bench = Bench::new();
    let found = |body| {
        let body = bench.post("/v2/catalog/search-catalog-items", &body).body;
        body["matched_variation_ids"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(found(json!({})), 2);
    assert_eq!(found(json!({ "product_types": ["APPOINTMENTS_SERVICE"], "limit": 100 })), 2);
    assert_eq!(found(json!({ "text_filter": "haircut" })), 1);
    assert_eq!(found(json!({ "text_filter": "pizza" })), 0);
    assert_eq!(found(json!({ "product_types": ["REGULAR"] })), 0);
    assert_eq!(found(json!({ "enabled_location_ids": ["ELSEWHERE"] })), 0);
    let body = bench.post("/v2/catalog/search-catalog-items", &json!({ "text_filter": "cut" }));
    let variation = &body.body["items"][0]["item_data"]["variations"][0];
    assert_eq!(variation["id"], HAIRCUT);
    assert_eq!(variation["item_variation_data"]["service_duration"], 1_800_000);
    let wrong = bench.post("/v2/catalog/search-catalog-items", &json!({ "limit": 101 }));
    assert_eq!(wrong.refusal(), "400 INVALID_VALUE");
}

#[test]
fn a_customer_is_made_once_a_key_and_found_by_phone() {
    let bench = Bench::new();
    let search = |phone: &str| {
        let filter = json!({ "phone_number": { "exact": phone } });
        bench.post("/v2/customers/search", &json!({ "query": { "filter": filter }, "limit": 2 }))
    };
    assert_eq!(search("+12125550123").body["customers"][0]["id"], "CUSTOMER-1");
    assert_eq!(search("+12125550199").body, json!({}), "Square's word for nobody");

    let body = json!({
        "idempotency_key": "one",
        "given_name": "Grace",
        "phone_number": "+12125550199",
    });
    let made = bench.post("/v2/customers", &body);
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(bench.post("/v2/customers", &body).body, made.body);
    assert_eq!(search("+12125550199").body["customers"], json!([made.body["customer"]]));
    let id = made.body["customer"]["id"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/v2/customers/{id}")).body, made.body);

    let other = json!({ "idempotency_key": "one", "given_name": "Ada" });
    assert_eq!(bench.post("/v2/customers", &other).refusal(), "400 IDEMPOTENCY_KEY_REUSED");
    let nameless = json!({ "note": "tall" });
    assert_eq!(bench.post("/v2/customers", &nameless).refusal(), "400 BAD_REQUEST");
    let short = json!({ "phone_number": "12" });
    assert_eq!(bench.post("/v2/customers", &short).refusal(), "400 INVALID_PHONE_NUMBER");
    assert_eq!(bench.get("/v2/customers/nobody").refusal(), "404 NOT_FOUND");
}

#[test]
fn customers_are_found_page_by_page_and_roughly() {
    let bench = Bench::new();
    let body = json!({ "email_address": "Grace@Example.com", "phone_number": "+12125550199" });
    bench.post("/v2/customers", &body);
    let first = bench.post("/v2/customers/search", &json!({ "limit": 1 })).body;
    let next = json!({ "limit": 1, "cursor": first["cursor"] });
    let second = bench.post("/v2/customers/search", &next).body;
    assert_ne!(first["customers"][0]["id"], second["customers"][0]["id"]);
    assert!(second["cursor"].is_null());

    let found = |filter| {
        let body = json!({ "query": { "filter": filter } });
        let body = bench.post("/v2/customers/search", &body).body;
        body["customers"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(found(json!({ "email_address": { "exact": "grace@example.com" } })), 1);
    assert_eq!(found(json!({ "phone_number": { "fuzzy": "212555" } })), 2);
    let both = json!({ "phone_number": { "exact": "1", "fuzzy": "1" } });
    let both = json!({ "query": { "filter": both } });
    assert_eq!(bench.post("/v2/customers/search", &both).refusal(), "400 BAD_REQUEST");
}
