//! One wish, one effect: however often a platform says it, and at once.

use std::thread;

use serde_json::{Value, json};

use super::shop::{AGENT, Shop, results, unique};
use crate::bench::Answer;

/// How often each is said.
const TIMES: usize = 20;

/// A platform, as a tool is called there in one conversation.
#[derive(Clone, Copy, Debug)]
enum Platform {
    Retell,
    Vapi,
    ElevenLabs,
}

impl Platform {
    fn call(self, shop: &Shop, conversation: &str, tool: &str, arguments: &Value) -> Value {
        let answer = self.answer(shop, conversation, tool, arguments);
        match self {
            Self::Vapi => results(&answer)
                .remove(0)
                .unwrap_or_else(|error| json!({ "ok": false, "error": error })),
            Self::Retell | Self::ElevenLabs => answer.json(),
        }
    }

    fn answer(self, shop: &Shop, conversation: &str, tool: &str, arguments: &Value) -> Answer {
        match self {
            Self::Retell => {
                // The transcript grows, and each time the model has an id of its own for it.
                let body = json!({
                    "name": tool,
                    "call": {"call_id": conversation, "agent_id": AGENT, "direction": "inbound",
                        "from_number": "+12125550177", "transcript_with_tool_calls": [
                            {"role": "tool_call_invocation", "tool_call_id": unique("t"), "name": tool}]},
                    "args": arguments,
                });
                shop.retell("/webhook/retell", &body)
            }
            Self::Vapi => shop.vapi(AGENT, conversation, &[(tool, arguments.clone())]),
            Self::ElevenLabs => {
                let mut body = arguments.clone();
                body["system__conversation_id"] = json!(conversation);
                body["system__caller_id"] = json!("+12125550177");
                shop.elevenlabs(tool, &body)
            }
        }
    }

    /// The same, said by all at once.
    fn at_once(self, shop: &Shop, conversation: &str, tool: &str, arguments: &Value) -> Vec<Value> {
        thread::scope(|scope| {
            let calls: Vec<_> = (0..TIMES)
                .map(|_| scope.spawn(|| self.call(shop, conversation, tool, arguments)))
                .collect();
            calls.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }

    fn in_sequence(
        self,
        shop: &Shop,
        conversation: &str,
        tool: &str,
        arguments: &Value,
    ) -> Vec<Value> {
        (0..TIMES).map(|_| self.call(shop, conversation, tool, arguments)).collect()
    }
}

/// A time that is free.
fn free_time(shop: &Shop) -> Value {
    let body = json!({"agent_id": AGENT, "call_id": unique("call"), "service": "Haircut"});
    let said = shop.retell("/api/bookings/availability", &body).json();
    let slots = said["slots"].as_array().unwrap_or_else(|| panic!("{said}"));
    slots.last().unwrap()["start_at"].clone()
}

fn moment(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

fn check(platform: Platform) {
    let shop = Shop::open();
    let arguments =
        json!({"start_at": free_time(&shop), "service": "Haircut", "name": "Bob Example"});
    let mut said = platform.at_once(&shop, "call_1", "bookings_create", &arguments);
    said.extend(platform.in_sequence(&shop, "call_1", "bookings_create", &arguments));
    let made = shop.square.made();
    assert_eq!(made.len(), 1, "{made:?}");
    for reply in &said {
        let answer = (&reply["ok"], &reply["status"], &reply["booking_id"]);
        assert_eq!(answer, (&json!(true), &json!("booked"), &made[0]["id"]), "{reply}");
    }

    let id = made[0]["id"].as_str().unwrap();
    let arguments = json!({"booking_id": id});
    let mut said = platform.at_once(&shop, "call_1", "bookings_cancel", &arguments);
    said.extend(platform.in_sequence(&shop, "call_1", "bookings_cancel", &arguments));
    assert!(said.iter().all(|it| it["ok"] == true && it["status"] == "cancelled"), "{said:?}");
    let booking = shop.square.booking(id);
    assert_eq!(
        (&booking["status"], &booking["version"]),
        (&json!("CANCELLED_BY_CUSTOMER"), &json!(1))
    );
    let calls = shop.tool_calls();
    let whole =
        calls.iter().filter(|it| it["repeats"].is_null() && it["tool"] != "bookings_availability");
    assert_eq!(whole.count(), 2, "one for each wish; the others repeat it");
}

#[test]
fn at_retell_a_wish_said_twenty_times_at_once_and_twenty_times_on_is_done_once() {
    check(Platform::Retell);
}

#[test]
fn at_vapi_a_wish_said_twenty_times_at_once_and_twenty_times_on_is_done_once() {
    check(Platform::Vapi);
}

#[test]
fn at_elevenlabs_a_wish_said_twenty_times_at_once_and_twenty_times_on_is_done_once() {
    check(Platform::ElevenLabs);
}

#[test]
fn a_caller_who_cancels_and_books_the_same_time_again_means_it() {
    let shop = Shop::open();
    let say = |tool: &str, arguments: &Value| {
        let said = Platform::Retell.call(&shop, "call_1", tool, arguments);
        assert_eq!(said["ok"], true, "{said}");
        said
    };
    let wish = json!({"start_at": free_time(&shop), "service": "Haircut"});
    let first = say("bookings_create", &wish)["booking_id"].clone();
    say("bookings_cancel", &json!({ "booking_id": first }));
    let second = say("bookings_create", &wish)["booking_id"].clone();
    assert_ne!(first, second);
    assert_eq!(shop.square.made().len(), 1);
    say("bookings_cancel", &json!({ "booking_id": second }));
    assert!(shop.square.made().is_empty());
    let third = say("bookings_create", &wish)["booking_id"].clone();
    assert_eq!(shop.square.made()[0]["id"], third);
}

#[test]
fn an_appointment_is_moved_there_and_back() {
    let shop = Shop::open();
    let before = shop.square.booking("BOOKING#123")["start_at"].clone();
    let there = free_time(&shop);
    let mut version = 0;
    for start in [&there, &before, &there] {
        let wish = json!({"booking_id": "BOOKING#123", "start_at": start});
        for _ in 0..3 {
            let said = Platform::Vapi.call(&shop, "call_1", "bookings_reschedule", &wish);
            assert_eq!(
                (&said["ok"], &said["status"]),
                (&json!(true), &json!("rescheduled")),
                "{said}"
            );
        }
        version += 1;
        let booking = shop.square.booking("BOOKING#123");
        assert_eq!(
            (moment(&booking["start_at"]), &booking["version"]),
            (moment(start), &json!(version))
        );
    }
}

#[test]
fn what_square_did_before_it_failed_is_found_and_not_done_again() {
    let shop = Shop::open();
    let wish = json!({"start_at": free_time(&shop), "service": "Haircut", "name": "Bob Example"});
    // The customer, then the booking: each is made, and the answer is an error.
    shop.square.set_faults(&json!({"next": ["commit-then-500", "commit-then-500"]}));
    let said = Platform::Retell.call(&shop, "call_1", "bookings_create", &wish);
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("booked")), "{said}");
    assert_eq!(shop.square.made().len(), 1);
    let customers = shop.square.state()["customers"].as_array().unwrap().len();
    assert_eq!(customers, 2, "the one that was there, and Bob");

    shop.square.set_faults(&json!({"next": ["commit-then-500"]}));
    let wish = json!({"booking_id": said["booking_id"]});
    let said = Platform::Retell.call(&shop, "call_1", "bookings_cancel", &wish);
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
}
