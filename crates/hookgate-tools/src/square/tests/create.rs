//! Booking.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bench::{ADA, Act, Bench, HAIRCUT, LOCATION, said, shown};
use crate::work::End;

const WRITE: &str = "POST /v2/bookings ";
const ADDING: &str = "POST /v2/customers ";

fn wish() -> Value {
    json!({ "start_at": "2026-11-24T11:00", "service": "Haircut" })
}

fn with(more: &Value) -> Value {
    let mut wish = wish();
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wish
}

/// The requests that made bookings, or tried.
fn bodies(bench: &Bench) -> Vec<Value> {
    let seen = bench.seen().into_iter();
    seen.filter(|it| it.line == WRITE.trim_end()).map(|it| it.body).collect()
}

fn count(bench: &Bench, line: &str) -> usize {
    bench.seen().iter().filter(|it| it.line == line.trim_end()).count()
}

#[tokio::test]
async fn a_known_caller_is_booked_without_being_asked_anything() {
    let bench = Bench::new().await;
    let note = json!({ "note": "My hair is long." });
    let end = bench.desk().call_as("bookings_create", with(&note), "key").await;
    assert_eq!(shown(&end), "done booked");
    assert_eq!(said(&end), "You're booked for Haircut on Tuesday, November 24 at 11:00 AM.");
    let data = &end.reply().data;
    assert_eq!(data["start_at"], "2026-11-24T11:00:00-05:00");
    assert_eq!(data["customer_id"], "CUSTOMER-1");
    assert_eq!(data["team_member_id"], "TMSTANDIN0001");
    assert_eq!(data["service"], "Haircut");
    assert_eq!(bench.booking(data["booking_id"].as_str().unwrap())["status"], "ACCEPTED");
    assert_eq!(
        bodies(&bench),
        [json!({
            "idempotency_key": "key",
            "booking": {
                "location_id": LOCATION,
                "start_at": "2026-11-24T16:00:00Z",
                "customer_id": "CUSTOMER-1",
                "customer_note": "My hair is long.",
                "appointment_segments": [{
                    "team_member_id": "TMSTANDIN0001",
                    "service_variation_id": HAIRCUT,
                    "service_variation_version": 1_755_648_000_001_i64,
                    "duration_minutes": 30,
                }],
            },
        })]
    );
    assert_eq!(bench.customers(), 1);
}

#[tokio::test]
async fn a_new_customer_is_made_with_what_is_known() {
    let bench = Bench::new().await;
    let who = json!({
        "name": "Mary Jane Watson", "phone": "212 555 0177", "email": "mary@example.com",
    });
    let end = bench.desk().call_as("bookings_create", with(&who), "key").await;
    assert_eq!(shown(&end), "done booked");
    let seen = bench.seen();
    let added = seen.iter().find(|it| it.line == "POST /v2/customers").unwrap();
    assert_eq!(
        added.body,
        json!({
            "idempotency_key": "key-customer",
            "given_name": "Mary Jane", "family_name": "Watson",
            "phone_number": "+12125550177", "email_address": "mary@example.com",
        })
    );
    let searches = seen.iter().filter(|it| it.line.starts_with("POST /v2/customers/search"));
    assert_eq!(searches.count(), 2, "by number, by address; never after it was made");
    // The number alone is enough too.
    let bare = json!({ "start_at": "2026-11-24 2pm", "service_id": HAIRCUT });
    let desk = bench.desk().called_by(Some("+12125550188"));
    assert_eq!(shown(&desk.call("bookings_create", bare).await), "done booked");
    assert_eq!(bench.customers(), 3);
}

#[tokio::test]
async fn a_customer_is_found_by_id_number_or_address() {
    let bench = Bench::new().await;
    let nobody = bench.desk().called_by(None);
    for (who, hour) in [
        (json!({ "customer_id": "CUSTOMER-1" }), "9:00"),
        (json!({ "phone_number": "(212) 555-0123", "name": "Ada Example" }), "9:30"),
        (json!({ "customer_phone": 2_125_550_123_u64 }), "10:00"),
    ] {
        let mut wish = with(&who);
        wish["start_at"] = format!("2026-11-24 {hour} am").into();
        let end = nobody.call("bookings_create", wish).await;
        assert_eq!(shown(&end), "done booked", "{who}");
        assert_eq!(end.reply().data["customer_id"], "CUSTOMER-1", "{who}");
    }
    let unknown = with(&json!({ "customer_id": "NOBODY" }));
    assert_eq!(shown(&nobody.call("bookings_create", unknown).await), "refused not_found");
    assert_eq!(bench.customers(), 1);
}

#[tokio::test]
async fn what_is_missing_is_asked_for() {
    let bench = Bench::new().await;
    let nobody = bench.desk().called_by(None);
    for (wish, expected, question) in [
        (json!({}), "missing_argument", "When would you like to come in?"),
        (wish(), "missing_argument", "What phone number should I book it under?"),
        (
            json!({ "start_at": "2026-11-24T11:00", "phone": ADA }),
            "missing_argument",
            "Which service would you like? We have Haircut and Hair colour.",
        ),
        (
            json!({ "start_at": "2026-11-24", "phone": ADA, "service": "Haircut" }),
            "missing_argument",
            "What time would you like?",
        ),
        (
            json!({ "start_at": "soon", "phone": ADA, "service": "Haircut" }),
            "invalid_argument",
            "What day and time would you like? Please give me both.",
        ),
        (
            json!({ "start_at": "2027-03-14T02:30", "phone": ADA, "service": "Haircut" }),
            "invalid_argument",
            "The clocks go forward then, so that time doesn't exist. What other time would you like?",
        ),
        (
            json!({ "start_at": "2026-11-23T09:59", "phone": ADA, "service": "Haircut" }),
            "past",
            "That time has already passed. When else would suit you?",
        ),
        (
            with(&json!({ "phone": "555" })),
            "invalid_argument",
            "I didn't get that phone number. Could you say it again, with the area code?",
        ),
        (
            with(&json!({ "email": "mary at example" })),
            "invalid_argument",
            "I didn't get that email address. Could you spell it for me?",
        ),
        (
            json!({ "start_at": "2026-11-24T11:00", "phone": ADA, "service": "hair" }),
            "ambiguous_service",
            "Which one would you like? We have Haircut and Hair colour.",
        ),
        (
            json!({ "start_at": "2026-11-24T11:00", "phone": ADA, "service": "Massage" }),
            "unknown_service",
            "I couldn't find that service. We have Haircut and Hair colour.",
        ),
    ] {
        let end = nobody.call("bookings_create", wish.clone()).await;
        assert_eq!(shown(&end), format!("refused {expected}"), "{wish}");
        assert_eq!(said(&end), question);
    }
    assert_eq!(count(&bench, WRITE), 0);
}

#[tokio::test]
async fn a_service_is_understood_as_it_is_said() {
    let bench = Bench::new().await;
    for (n, said) in ["HAIRCUT", " hair  colour ", "colour", "a haircut please"].iter().enumerate()
    {
        let wish = json!({ "start_at": format!("2026-11-2{} 11:00", 4 + n % 3), "service": said });
        let plan = bench.desk().plan("bookings_create", wish).await.unwrap();
        let key = plan.business_key().unwrap();
        assert_eq!(key.contains("COLOR"), said.contains("colour"), "{said}: {key}");
    }
    for id in ["ISTANDINHAIRCUT", HAIRCUT, "Haircut"] {
        let wish = json!({ "start_at": "2026-11-24 11:00", "service_id": id });
        let plan = bench.desk().plan("bookings_create", wish).await.unwrap();
        assert!(plan.business_key().unwrap().starts_with(HAIRCUT), "{id}");
    }
    assert_eq!(bench.count("POST /v2/catalog"), 1, "the services are remembered");
}

#[tokio::test]
async fn a_time_that_is_taken_is_refused_with_others_near_it() {
    let bench = Bench::new().await;
    bench.put("ONE", "2026-11-24T16:00:00Z");
    bench.put_with(&json!({
        "id": "TWO", "start_at": "2026-11-24T16:00:00Z", "team_member_id": "TMSTANDIN0002",
    }));
    let end = bench.desk().call("bookings_create", wish()).await;
    assert_eq!(shown(&end), "refused not_available");
    assert_eq!(
        said(&end),
        "Sorry, that time isn't available. I could offer you Tuesday, November 24 at 10:00 AM, \
         Tuesday, November 24 at 10:30 AM, or Tuesday, November 24 at 11:30 AM."
    );
    let alternatives = end.reply().data["alternatives"].as_array().unwrap();
    assert_eq!(alternatives.len(), 3);
    assert_eq!(alternatives[2]["start_at"], "2026-11-24T11:30:00-05:00");
    assert_eq!(count(&bench, WRITE), 0);
    // On a Sunday nobody is there, nor around.
    let sunday = json!({ "start_at": "2026-12-06T00:30", "service": "Haircut" });
    let end = bench.desk().call("bookings_create", sunday).await;
    assert_eq!(shown(&end), "refused not_available");
}

#[tokio::test]
async fn whoever_is_asked_for_does_it_or_nobody() {
    let bench = Bench::new().await;
    let second = with(&json!({ "team_member_id": "TMSTANDIN0002" }));
    let end = bench.desk().call("bookings_create", second.clone()).await;
    assert_eq!(end.reply().data["team_member_id"], "TMSTANDIN0002");
    let end = bench.desk().call("bookings_create", second).await;
    assert_eq!(shown(&end), "refused not_available");
    // The other one has time still.
    assert_eq!(shown(&bench.desk().call("bookings_create", wish()).await), "done booked");
}

#[tokio::test]
async fn a_time_that_is_offered_and_given_away_already_is_not_booked() {
    let bench = Bench::new().await;
    bench.put("STAFF", "2026-11-24T15:45:00Z");
    let slot = json!({ "availabilities": [{
        "start_at": "2026-11-24T16:00:00Z",
        "location_id": LOCATION,
        "appointment_segments": [{
            "duration_minutes": 30, "team_member_id": "TMSTANDIN0001",
            "service_variation_id": HAIRCUT, "service_variation_version": 1_755_648_000_001_i64,
        }],
    }] });
    bench.act("POST /v2/bookings/availability", Act::Say(200, slot));
    let end = bench.desk().call("bookings_create", wish()).await;
    assert_eq!(shown(&end), "refused not_available");
    assert_eq!(count(&bench, WRITE), 0);
}

#[tokio::test]
async fn a_time_that_somebody_else_takes_meanwhile_is_refused() {
    let bench = Bench::new().await;
    let shop = bench.shop.clone();
    let others = move || {
        for member in ["TMSTANDIN0001", "TMSTANDIN0002"] {
            assert!(shop.put_booking(&json!({
                "id": format!("OTHER-{member}"), "start_at": "2026-11-24T16:00:00Z",
                "customer_id": "CUSTOMER-1", "team_member_id": member,
            })));
        }
    };
    bench.act("POST /v2/customers/search", Act::Meanwhile(Arc::new(|| ())));
    bench.act("POST /v2/customers", Act::Meanwhile(Arc::new(others)));
    let new = with(&json!({ "phone": "2125550177" }));
    let end = bench.desk().call("bookings_create", new).await;
    assert_eq!(shown(&end), "refused not_available");
    assert_eq!(end.reply().data["alternatives"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_booking_that_the_shop_has_to_confirm_is_said_to_be_requested() {
    let bench = Bench::new().await;
    let made = json!({ "booking": {
        "id": "NEW", "version": 0, "status": "PENDING", "start_at": "2026-11-24T16:00:00Z",
        "location_id": LOCATION, "customer_id": "CUSTOMER-1",
    } });
    bench.act("POST /v2/bookings", Act::Meanwhile(Arc::new(|| ())));
    bench.act("POST /v2/bookings", Act::Say(200, made));
    let end = bench.desk().call("bookings_create", wish()).await;
    assert_eq!(shown(&end), "done requested");
    assert!(said(&end).ends_with("The shop still has to confirm it."), "{}", said(&end));
}

#[tokio::test]
async fn a_booking_that_was_made_under_an_error_is_one_booking() {
    let bench = Bench::new().await;
    bench.faults(&json!(["commit-then-500"]));
    let end = bench.desk().call("bookings_create", wish()).await;
    assert_eq!(shown(&end), "done booked");
    assert_eq!(bench.bookings().len(), 2);
    let bodies = bodies(&bench);
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1], "the same request, under its key");
}

#[tokio::test]
async fn a_customer_who_was_made_under_an_error_is_one_customer() {
    let bench = Bench::new().await;
    bench.faults(&json!(["commit-then-500", "commit-then-500"]));
    let new = with(&json!({ "phone": "2125550177", "name": "Mary" }));
    let end = bench.desk().call("bookings_create", new).await;
    assert_eq!(shown(&end), "done booked");
    assert_eq!((bench.customers(), bench.bookings().len()), (2, 2));
}

#[tokio::test]
async fn a_booking_whose_answer_never_came_is_found_by_reading() {
    let bench = Bench::new().await;
    let desk = bench.desk();
    let plan = desk.plan("bookings_create", wish()).await.unwrap();
    let desk = desk.patience(2_000);
    bench.act("POST /v2/bookings/availability", Act::Meanwhile(Arc::new(|| ())));
    bench.act("POST /v2/bookings", Act::DoAndHang);
    let end = desk.run(&plan, "key").await;
    assert_eq!(shown(&end), "done booked");
    assert_eq!(bench.bookings().len(), 2);
}

#[tokio::test]
async fn an_earlier_try_of_a_new_customer_is_settled_though_searching_does_not_find_them() {
    let bench = Bench::new().await;
    let desk = bench.desk();
    let new = with(&json!({ "phone": "2125550177", "name": "Mary" }));
    let plan = desk.plan("bookings_create", new).await.unwrap();
    assert_eq!(desk.settle(&plan).await, Ok(None), "nothing was done yet");
    let made = desk.run(&plan, "key").await;
    let settled = desk.settle(&plan).await.unwrap().unwrap();
    assert_eq!(&settled, made.reply());
    let searches = bench.count("POST /v2/customers/search");
    assert_eq!(searches, 1, "to book; none to settle");
    // Somebody else's booking at that time is not it.
    let other = with(&json!({ "phone": "2125550188" }));
    let plan = desk.plan("bookings_create", other).await.unwrap();
    assert_eq!(desk.settle(&plan).await, Ok(None));
}

#[tokio::test]
async fn an_older_booking_of_the_same_kind_is_not_taken_for_the_new_one() {
    let bench = Bench::new().await;
    bench.put("OLD", "2026-11-24T16:00:00Z");
    let desk = bench.desk().at("2026-11-23T15:30:00Z");
    let plan = desk.plan("bookings_create", wish()).await.unwrap();
    assert_eq!(desk.settle(&plan).await, Ok(None), "it was made half an hour before");
    let desk = bench.desk();
    assert!(desk.settle(&plan).await.unwrap().is_some());
}

#[tokio::test]
async fn a_key_that_was_used_with_other_words_means_that_it_was_done() {
    let bench = Bench::new().await;
    let first = bench.desk().call_as("bookings_create", wish(), "key").await;
    let noted = with(&json!({ "note": "Another note." }));
    let end = bench.desk().call_as("bookings_create", noted, "key").await;
    assert_eq!(shown(&end), "done booked");
    assert_eq!(end.reply().data["booking_id"], first.reply().data["booking_id"]);
    assert_eq!(bench.bookings().len(), 2);
}

#[tokio::test]
async fn notes_and_members_make_no_other_wish_but_times_and_people_do() {
    let bench = Bench::new().await;
    let key = async |more: Value| {
        let plan = bench.desk().plan("bookings_create", with(&more)).await.unwrap();
        plan.business_key().unwrap().to_owned()
    };
    let one = key(json!({})).await;
    for same in [
        json!({ "note": "x" }),
        json!({ "phone": "212-555-0123" }),
        json!({ "start_at": "2026-11-24T16:00:00Z" }),
        json!({ "team_member_id": "TMSTANDIN0002" }),
        json!({ "service": null, "service_id": HAIRCUT }),
    ] {
        assert_eq!(key(same.clone()).await, one, "{same}");
    }
    for other in [
        json!({ "phone": "2125550177" }),
        json!({ "start_at": "2026-11-24T11:30" }),
        json!({ "service": "Hair colour" }),
        json!({ "name": "Ben" }),
        json!({ "customer_id": "CUSTOMER-1" }),
    ] {
        assert_ne!(key(other.clone()).await, one, "{other}");
    }
}

#[tokio::test]
async fn a_success_stands_while_the_booking_is_there_at_that_time() {
    let bench = Bench::new().await;
    let desk = bench.desk();
    let plan = desk.plan("bookings_create", wish()).await.unwrap();
    let End::Done(reply) = desk.run(&plan, "key").await else { panic!("it is booked") };
    assert_eq!(desk.stands(&plan, &reply).await, Ok(true));
    let id = reply.data["booking_id"].as_str().unwrap().to_owned();
    let moved = json!({ "booking_id": id, "start_at": "2026-11-24 4pm" });
    assert_eq!(shown(&desk.call("bookings_reschedule", moved).await), "done rescheduled");
    assert_eq!(desk.stands(&plan, &reply).await, Ok(false), "it was moved");
    assert_eq!(count(&bench, ADDING), 0);
}
