//! What changes nothing: bookings, free times, services.

use hookgate_core::tool::settings::Whose;
use serde_json::{Value, json};

use super::bench::{ADA, Act, BOOKING, Bench, HAIRCUT, LOCATION, said, shown};

#[tokio::test]
async fn a_caller_hears_their_coming_bookings_in_order() {
    let bench = Bench::new().await;
    bench.put("LATER", "2027-02-10T15:00:00Z");
    bench.put("SOON", "2026-11-23T16:00:00Z");
    bench.put("PAST", "2026-11-23T14:00:00Z");
    bench.put("TOO-FAR", "2027-02-25T15:00:00Z");
    bench.put("OVER", "2026-11-24T15:00:00Z");
    bench.put_with(
        &json!({ "id": "THEIRS", "start_at": "2026-11-24T15:00:00Z", "customer_id": "X" }),
    );
    bench.put_with(
        &json!({ "id": "AWAY", "start_at": "2026-11-24T15:00:00Z", "location_id": "L2" }),
    );
    assert!(bench.shop.set_status("OVER", "CANCELLED_BY_SELLER"));
    assert!(bench.shop.set_status("LATER", "PENDING"));
    let end = bench.desk().call("bookings_list", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(
        said(&end),
        "You have 3 upcoming appointments: Haircut on Monday, November 23 at 11:00 AM, \
         Haircut on Wednesday, November 25 at 3:00 PM, and \
         Haircut on Wednesday, February 10, 2027 at 10:00 AM."
    );
    let bookings = &end.reply().data["bookings"];
    let ids: Vec<&Value> =
        bookings.as_array().unwrap().iter().map(|it| &it["booking_id"]).collect();
    assert_eq!(ids, ["SOON", BOOKING, "LATER"]);
    assert_eq!(
        bookings[2],
        json!({
            "booking_id": "LATER", "start_at": "2027-02-10T10:00:00-05:00",
            "spoken": "Wednesday, February 10, 2027 at 10:00 AM",
            "service": "Haircut", "status": "pending",
        })
    );
    let end = bench.desk().call("bookings_list", json!({ "limit": "2" })).await;
    assert_eq!(end.reply().data["bookings"].as_array().unwrap().len(), 2);
    // No window is longer than Square looks.
    for seen in bench.seen().iter().filter(|it| it.line.starts_with("GET /v2/bookings?")) {
        let url = format!("http://x{}", seen.line.split_once(' ').unwrap().1);
        let url = hookgate_egress::Url::parse(&url).unwrap();
        let at = |name: &str| {
            let found = url.query_pairs().find(|it| it.0 == name).unwrap();
            found.1.parse::<jiff::Timestamp>().unwrap()
        };
        let length = at("start_at_max").duration_since(at("start_at_min"));
        assert!(length <= jiff::SignedDuration::from_hours(31 * 24));
    }
}

#[tokio::test]
async fn whoever_has_none_hears_that() {
    let bench = Bench::new().await;
    for desk in
        [bench.desk().called_by(Some("+12125550199")), bench.desk().at("2026-11-25T20:00:00Z")]
    {
        let end = desk.call("bookings_list", json!({})).await;
        assert_eq!(shown(&end), "done none");
        assert_eq!(end.reply().data["bookings"], json!([]));
    }
}

#[tokio::test]
async fn a_caller_lists_nobody_elses_bookings() {
    let bench = Bench::new().await;
    let stranger = bench.desk().called_by(Some("+12125550199"));
    for wish in [
        json!({ "phone": ADA }),
        json!({ "customer_id": "CUSTOMER-1" }),
        json!({ "phone": "+12125550199", "customer_id": "CUSTOMER-1" }),
    ] {
        let end = stranger.call("bookings_list", wish.clone()).await;
        assert_eq!(shown(&end), "refused not_allowed", "{wish}");
    }
    for number in [None, Some("anonymous")] {
        let hidden = bench.desk().called_by(number);
        for wish in [json!({}), json!({ "phone": ADA })] {
            assert_eq!(shown(&hidden.call("bookings_list", wish).await), "refused not_allowed");
        }
    }
    assert_eq!(bench.count("GET /v2/bookings"), 0, "Square is not even asked");
    // One's own number may be said, and one's own id.
    for wish in [json!({ "phone": "212-555-0123" }), json!({ "customer_id": "CUSTOMER-1" })] {
        assert_eq!(shown(&bench.desk().call("bookings_list", wish).await), "done found");
    }
}

#[tokio::test]
async fn where_anybody_may_a_number_or_an_id_is_enough() {
    let bench = Bench::new().await;
    let open = bench.desk().lists(Whose::Anyone).called_by(None);
    for wish in [json!({ "phone": ADA }), json!({ "customer_id": "CUSTOMER-1" })] {
        assert_eq!(shown(&open.call("bookings_list", wish).await), "done found");
    }
    assert_eq!(shown(&open.call("bookings_list", json!({})).await), "refused missing_argument");
    let end = open.call("bookings_list", json!({ "phone": ADA, "limit": "many" })).await;
    assert_eq!(shown(&end), "refused invalid_argument");
}

#[tokio::test]
async fn free_times_are_told_by_the_shops_clocks() {
    let bench = Bench::new().await;
    let wish = json!({ "service": "haircut", "date": "tomorrow", "days": 1 });
    let end = bench.desk().call("bookings_availability", wish).await;
    assert_eq!(shown(&end), "done found");
    let slots = end.reply().data["slots"].as_array().unwrap();
    assert_eq!(
        slots[0],
        json!({
            "start_at": "2026-11-24T09:00:00-05:00",
            "spoken": "Tuesday, November 24 at 9:00 AM",
            "minutes": 30,
            "team_member_id": "TMSTANDIN0001",
        })
    );
    assert_eq!(slots.len(), 16, "from nine to five");
    assert!(said(&end).starts_with("For Haircut, I have Tuesday, November 24 at 9:00 AM, "));
    assert_eq!(end.reply().data["service_id"], HAIRCUT);
    // What is told can be booked as it stands.
    let wish = json!({ "start_at": slots[3]["start_at"], "service_id": HAIRCUT });
    assert_eq!(shown(&bench.desk().call("bookings_create", wish).await), "done booked");
}

#[tokio::test]
async fn two_months_are_searched_in_parts_and_never_in_the_past() {
    let bench = Bench::new().await;
    let wish = json!({ "service": "Haircut", "days": 1_000 });
    let end = bench.desk().call("bookings_availability", wish).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(end.reply().data["slots"].as_array().unwrap().len(), 20);
    let seen = bench.seen();
    let searches: Vec<_> =
        seen.iter().filter(|it| it.line.ends_with("availability/search")).collect();
    assert_eq!(searches.len(), 2);
    let range = |n: usize| &searches[n].body["query"]["filter"]["start_at_range"];
    assert_eq!(range(0)["start_at"], "2026-11-23T15:01:00Z");
    assert_eq!(range(0)["end_at"], range(1)["start_at"]);
    assert_eq!(range(1)["end_at"], "2027-01-24T05:00:00Z");
}

#[tokio::test]
async fn a_booking_that_is_to_be_moved_has_free_times_of_its_own() {
    let bench = Bench::new().await;
    let wish = json!({ "booking_id": BOOKING, "from": "2026-11-25", "days": 1 });
    let end = bench.desk().call("bookings_availability", wish).await;
    assert_eq!(shown(&end), "done found");
    assert!(said(&end).starts_with("I have Wednesday, November 25 at 9:00 AM, "));
    let wish = json!({ "booking_id": "NOBODYS" });
    assert_eq!(shown(&bench.desk().call("bookings_availability", wish).await), "refused not_found");
}

#[tokio::test]
async fn what_no_day_can_be_is_asked_for_again() {
    let bench = Bench::new().await;
    for (wish, expected) in [
        (json!({ "service": "Haircut", "date": "someday" }), "refused invalid_argument"),
        (json!({ "service": "Haircut", "date": "9999-12-31" }), "refused invalid_argument"),
        (json!({ "service": "Haircut", "date": "2026-11-01" }), "refused past"),
        (json!({ "service": "Haircut", "days": 0 }), "refused invalid_argument"),
        (json!({ "service": "Haircut", "days": -1 }), "refused invalid_argument"),
        (json!({ "service": "Haircut", "days": "a few" }), "refused invalid_argument"),
        (json!({ "service": ["Haircut"] }), "refused invalid_argument"),
        (json!({ "service": "x".repeat(300) }), "refused invalid_argument"),
        (json!({}), "refused missing_argument"),
        // A weekend.
        (json!({ "service": "Haircut", "date": "2026-11-28", "days": 2 }), "done none"),
        // A part of a day, which Square does not search by itself.
        (json!({ "service": "Haircut", "days": 1.0 }), "done found"),
    ] {
        let end = bench.desk().call("bookings_availability", wish.clone()).await;
        assert_eq!(shown(&end), expected, "{wish}");
    }
}

#[tokio::test]
async fn services_are_told_with_prices_and_durations() {
    let bench = Bench::new().await;
    let end = bench.desk().call("services_list", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(said(&end), "We offer Haircut (30 minutes, $35) and Hair colour (1 hour, $90).");
    assert_eq!(
        end.reply().data["services"][0],
        json!({ "service_id": HAIRCUT, "name": "Haircut", "minutes": 30, "price": "$35" })
    );
    let end = bench.desk().call("services_list", json!({ "query": "colour HAIR" })).await;
    assert_eq!(end.reply().data["services"].as_array().unwrap().len(), 1);
    let end = bench.desk().call("services_list", json!({ "search": "massage" })).await;
    assert_eq!(shown(&end), "done none");
}

#[tokio::test]
async fn services_of_all_pages_are_told_if_they_can_be_booked_here() {
    let bench = Bench::new().await;
    let item = |id: &str, more: Value| {
        let mut item = json!({
            "type": "ITEM", "id": id, "item_data": { "name": id, "variations": [
                { "type": "ITEM_VARIATION", "id": format!("{id}-1"),
                  "item_variation_data": { "name": "Short", "service_duration": 900_000 } },
                { "type": "ITEM_VARIATION", "id": format!("{id}-2"),
                  "item_variation_data": { "name": "Long", "available_for_booking": true } },
                { "type": "ITEM_VARIATION", "id": format!("{id}-3"),
                  "item_variation_data": { "name": "Not", "available_for_booking": false } },
            ] },
        });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let pages = [
        json!({ "cursor": "next", "items": [
            item("Trim", json!({})),
            item("Gone", json!({ "is_deleted": true })),
            item("Away", json!({ "present_at_all_locations": false, "present_at_location_ids": ["L2"] })),
        ] }),
        json!({ "items": [
            item("Shave", json!({ "present_at_all_locations": false, "present_at_location_ids": [LOCATION] })),
            item("Never", json!({ "present_at_all_locations": true, "absent_at_location_ids": [LOCATION] })),
            { "nonsense": true },
        ] }),
    ];
    for page in pages {
        bench.act("POST /v2/catalog", Act::Say(200, page));
    }
    let end = bench.desk().call("services_list", json!({})).await;
    assert_eq!(
        said(&end),
        "We offer Trim (Short): 15 minutes, Trim (Long), Shave (Short): 15 minutes, and Shave (Long)."
    );
    let seen = bench.seen();
    assert_eq!(seen[1].body["cursor"], "next");
    // A name that several variations have is a question.
    let wish = json!({ "service": "trim" });
    let end = bench.desk().call("bookings_availability", wish).await;
    assert_eq!(said(&end), "Which one would you like? We have Trim (Short) and Trim (Long).");
}
