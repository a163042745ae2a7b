//! Finding customers.

use hookgate_core::tool::settings::Whose;
use serde_json::json;

use super::bench::{ADA, Bench, said, shown};

#[tokio::test]
async fn a_caller_is_found_by_the_number_that_is_calling() {
    let bench = Bench::new().await;
    let end = bench.desk().call("customers_find", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(said(&end), "I found Ada Example in our records.");
    assert_eq!(end.reply().data["customer_id"], "CUSTOMER-1");
    assert_eq!(bench.count("POST /v2/customers"), 1, "nobody is made");
}

#[tokio::test]
async fn a_name_is_told_to_nobody_who_is_not_calling_from_that_number() {
    let bench = Bench::new().await;
    let stranger = bench.desk().called_by(Some("+12125550199"));
    let end = stranger.call("customers_find", json!({ "phone": ADA })).await;
    assert_eq!(shown(&end), "done found");
    assert!(!format!("{end:?}").contains("Ada"));
    let end = stranger.lists(Whose::Anyone).call("customers_find", json!({ "phone": ADA })).await;
    assert!(said(&end).contains("Ada Example"));
}

#[tokio::test]
async fn a_customer_is_made_once_and_only_with_a_name() {
    let bench = Bench::new().await;
    let desk = bench.desk().called_by(Some("+12125550177"));
    let end = desk.call("customers_find", json!({})).await;
    assert_eq!(shown(&end), "refused not_found");
    assert_eq!(bench.customers(), 1);
    let named = json!({ "name": "Mary" });
    let plan = desk.plan("customers_find", named).await.unwrap();
    assert_eq!(desk.settle(&plan).await, Ok(None));
    bench.faults(&json!(["commit-then-500"]));
    let end = desk.run(&plan, "key").await;
    assert_eq!(shown(&end), "done created");
    assert_eq!(said(&end), "I've added Mary to our records.");
    assert_eq!(bench.customers(), 2);
    assert_eq!(desk.stands(&plan, end.reply()).await, Ok(true));
    let again = desk.settle(&plan).await.unwrap().unwrap();
    assert_eq!(again.data["customer_id"], end.reply().data["customer_id"]);
    let mut gone = end.reply().clone();
    gone.data["customer_id"] = "NOBODY".into();
    assert_eq!(desk.stands(&plan, &gone).await, Ok(false));
    gone.data.clear();
    assert_eq!(desk.stands(&plan, &gone).await, Ok(false));
}

#[tokio::test]
async fn a_person_is_the_same_by_number_and_address_whatever_their_name() {
    let bench = Bench::new().await;
    let key = async |wish: serde_json::Value| {
        let plan = bench.desk().plan("customers_find", wish).await.unwrap();
        plan.business_key().unwrap().to_owned()
    };
    assert_eq!(key(json!({})).await, "+12125550123|");
    assert_eq!(key(json!({ "name": "X", "phone": "2125550123" })).await, "+12125550123|");
    // The number that calls may be somebody else's.
    assert_eq!(key(json!({ "email": "A@Example.com" })).await, "|a@example.com");
}

#[tokio::test]
async fn who_says_nothing_and_calls_from_nowhere_is_asked() {
    let bench = Bench::new().await;
    let end = bench.desk().called_by(None).call("customers_find", json!({ "name": "X" })).await;
    assert_eq!(shown(&end), "refused missing_argument");
    let end = bench.desk().call("customers_find", json!({ "email": "nowhere" })).await;
    assert_eq!(shown(&end), "refused invalid_argument");
}
