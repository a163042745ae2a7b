//! Signal 9 between Square's commit and our record of it.

use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::PATIENCE;

use super::shop::{AGENT, Shop, retell_signature, unique};

/// Calls a tool and kills the gateway as soon as Square has done it and before it says so;
/// then starts the gateway again and calls the tool once more.
fn crash_and_ask_again(path: &str, body: &Value, is_done: impl Fn(&Shop) -> bool) -> (Shop, Value) {
    let shop = Shop::open();
    // Whatever a call needs to know beforehand.
    shop.retell("/api/services/list", &json!({"agent_id": AGENT, "call_id": unique("call")}));
    shop.square.set_faults(&json!({"next": ["commit-then-wait"]}));
    let text = body.to_string();
    let address = shop.gateway.address;
    let signature = retell_signature(&text);
    let path = path.to_owned();
    let asking = thread::spawn({
        let path = path.clone();
        move || {
            // It is killed before it answers.
            let _ = std::panic::catch_unwind(|| {
                crate::bench::request_to(
                    &format!("127.0.0.1:{}", address.port()),
                    "POST",
                    &path,
                    &[("x-retell-signature", &signature)],
                    &text,
                )
            });
        }
    });
    let until = Instant::now() + PATIENCE;
    while !is_done(&shop) {
        assert!(Instant::now() < until, "Square did not do it: {}", shop.square.state());
        thread::yield_now();
    }
    shop.gateway.signal(Signal::KILL);
    asking.join().unwrap();
    let shop = shop.restarted();
    shop.square.set_faults(&json!({}));
    let before = shop.tool_calls();
    assert_eq!(before[0]["state"], "unknown", "{before:?}");
    let said = shop.retell(&path, body).json();
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
