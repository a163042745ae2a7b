//! Signal 9 between Square's commit and our record of it.

use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{PATIENCE, request_to};

use super::shop::{AGENT, Shop, retell_signature, unique};

/// Where tool calls are on record, in the folder of a gateway.
const REGISTRY: &str = "hookgate.data/registry.sqlite";

/// Calls a tool of a gateway that is killed before it answers.
fn ask_beside(shop: &Shop, path: &str, body: &Value) -> JoinHandle<()> {
    let address = format!("127.0.0.1:{}", shop.gateway.address.port());
    let (path, body) = (path.to_owned(), body.to_string());
    thread::spawn(move || {
        let signature = retell_signature(&body);
        let headers = [("x-retell-signature", signature.as_str())];
        let _ = std::panic::catch_unwind(|| request_to(&address, "POST", &path, &headers, &body));
    })
}

fn wait_until(shop: &Shop, is_so: impl Fn(&Shop) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so(shop) {
        assert!(Instant::now() < until, "it did not come to it: {}", shop.square.state());
        thread::yield_now();
    }
}

/// Calls a tool and kills the gateway as soon as Square has done it and before it says so;
/// then starts the gateway again and calls the tool once more.
fn crash_and_ask_again(path: &str, body: &Value, is_done: impl Fn(&Shop) -> bool) -> (Shop, Value) {
    let shop = Shop::open();
    // Whatever a call needs to know beforehand.
    shop.retell("/api/services/list", &json!({"agent_id": AGENT, "call_id": unique("call")}));
    shop.square.set_faults(&json!({"next": ["commit-then-wait"]}));
    let asking = ask_beside(&shop, path, body);
    wait_until(&shop, is_done);
    shop.gateway.signal(Signal::KILL);
    asking.join().unwrap();
    let shop = shop.restarted();
    shop.square.set_faults(&json!({}));
    let before = shop.tool_calls();
    assert_eq!(before[0]["state"], "unknown", "{before:?}");
    let said = shop.retell(path, body).json();
    let after = shop.tool_calls();
    assert!(after.iter().all(|it| it["state"] == "succeeded"), "{after:?}");
    (shop, said)
}

#[test]
fn a_cancellation_that_a_crash_cut_off_is_found_done() {
    let body = json!({"agent_id": AGENT, "call_id": "call_1", "booking_id": "BOOKING#123"});
    let (shop, said) = crash_and_ask_again("/api/bookings/cancel", &body, |shop| {
        shop.square.booking("BOOKING#123")["status"] == "CANCELLED_BY_CUSTOMER"
    });
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 1);
}

#[test]
fn a_booking_that_a_crash_cut_off_is_found_made() {
    let start = Shop::open().square.booking("BOOKING#123")["start_at"].clone();
    // Half an hour after the booking that is there, so in the same opening hours.
    let start: jiff::Timestamp = start.as_str().unwrap().parse().unwrap();
    let start = start.checked_add(jiff::SignedDuration::from_mins(30)).unwrap().to_string();
    let body = json!({"agent_id": AGENT, "call_id": "call_1", "service": "Haircut",
        "start_at": start, "customer_id": "CUSTOMER-1"});
    let (shop, said) =
        crash_and_ask_again("/api/bookings/create", &body, |shop| !shop.square.made().is_empty());
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("booked")), "{said}");
    let made = shop.square.made();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(said["booking_id"], made[0]["id"]);
}

#[test]
fn square_is_read_while_a_row_is_on_its_way_and_written_when_it_is_there() {
    let shop = Shop::open();
    shop.retell("/api/services/list", &json!({"agent_id": AGENT, "call_id": unique("call")}));
    let requests = |shop: &Shop| shop.square.state()["requests"].as_u64().unwrap();
    let before = requests(&shop);
    // Nothing comes on record as long as somebody else has the file.
    let other = rusqlite::Connection::open(shop.bench.path().join(REGISTRY)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = json!({"agent_id": AGENT, "call_id": "call_1", "booking_id": "BOOKING#123"});
    let asking = ask_beside(&shop, "/api/bookings/cancel", &body);
    wait_until(&shop, |shop| requests(shop) > before);
    shop.gateway.signal(Signal::KILL);
    asking.join().unwrap();
    drop(other);
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 0, "nothing was written");
    let shop = shop.restarted();
    assert!(shop.tool_calls().iter().all(|it| it["tool"] == "services_list"));
    let said = shop.retell("/api/bookings/cancel", &body).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 1);
}
