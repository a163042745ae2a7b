//! One wish, one effect: whichever node hears it, and whatever becomes of the database.

use std::thread;
use std::time::Instant;

use hookgate_testpg::{Cluster, Database, Proxy, Upstream};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::shop::{AGENT, Shop, retell_at, unique};
use crate::bench::{Answer, Bench, Gateway, PATIENCE};
use crate::postgres::MASTER_KEY;

const CREATE: &str = "/api/bookings/create";
const CANCEL: &str = "/api/bookings/cancel";

/// How often each is said.
const TIMES: usize = 20;

/// A shop whose store is at this URL.
fn shop(url: &str) -> Shop {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_STORE", url).set("HOOKGATE_MASTER_KEY", MASTER_KEY);
    Shop::open_in(bench)
}

/// A shop behind two gateways.
struct Two {
    shop: Shop,
    other: Gateway,
    _other: Bench,
    _database: Database<'static>,
}

impl Two {
    fn open() -> Self {
        let database = Cluster::shared().database();
        let shop = shop(&database.url());
        let mut other = shop.bench.beside();
        let gateway = other.serve(&[]);
        Self { shop, other: gateway, _other: other, _database: database }
    }

    fn gateway(&self, turn: usize) -> &Gateway {
        if turn.is_multiple_of(2) { &self.shop.gateway } else { &self.other }
    }

    /// Says the same to both, many times at once and many times in turn.
    fn say(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut said: Vec<Value> = thread::scope(|scope| {
            let one = |turn| scope.spawn(move || retell_at(self.gateway(turn), path, body).json());
            let calls: Vec<_> = (0..TIMES).map(one).collect();
            calls.into_iter().map(|it| it.join().unwrap()).collect()
        });
        said.extend((0..TIMES).map(|turn| retell_at(self.gateway(turn), path, body).json()));
        said
    }
}

/// A wish for a time that is free.
fn booking(shop: &Shop) -> Value {
    let body = json!({"agent_id": AGENT, "call_id": unique("call"), "service": "Haircut"});
    let said = shop.retell("/api/bookings/availability", &body).json();
    let slots = said["slots"].as_array().unwrap_or_else(|| panic!("{said}"));
    let start = &slots.last().unwrap()["start_at"];
    json!({"agent_id": AGENT, "call_id": "call_1", "service": "Haircut", "start_at": start,
        "name": "Bob Example", "phone": "+12125550177"})
}

fn cancellation() -> Value {
    json!({"agent_id": AGENT, "call_id": "call_1", "booking_id": "BOOKING#123"})
}

#[test]
fn a_wish_that_two_nodes_hear_at_once_and_in_turn_is_done_once() {
    let two = Two::open();
    let said = two.say(CREATE, &booking(&two.shop));
    let made = two.shop.square.made();
    assert_eq!(made.len(), 1, "{made:?}");
    for reply in &said {
        let answer = (&reply["ok"], &reply["status"], &reply["booking_id"]);
        assert_eq!(answer, (&json!(true), &json!("booked"), &made[0]["id"]), "{reply}");
    }
    let said = two.say(CANCEL, &cancellation());
    assert!(said.iter().all(|it| it["ok"] == true && it["status"] == "cancelled"), "{said:?}");
    assert_eq!(two.shop.square.booking("BOOKING#123")["version"], 1);
    let calls = two.shop.tool_calls();
    let whole =
        calls.iter().filter(|it| it["repeats"].is_null() && it["tool"] != "bookings_availability");
    assert_eq!(whole.count(), 2, "one for each wish; the others repeat it");
}

#[test]
fn a_caller_who_cancels_at_one_node_books_the_same_time_again_at_the_other() {
    let two = Two::open();
    let wish = booking(&two.shop);
    let mut last = Value::Null;
    for turn in 0..4 {
        let said = retell_at(two.gateway(turn), CREATE, &wish).json();
        assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("booked")), "{said}");
        assert_ne!(said["booking_id"], last);
        last = said["booking_id"].clone();
        let body = json!({"agent_id": AGENT, "call_id": "call_1", "booking_id": last});
        let said = retell_at(two.gateway(turn + 1), CANCEL, &body).json();
        assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    }
    assert!(two.shop.square.made().is_empty());
}

/// Says it, lets `fail` happen as soon as Square has done it and before it says so, and gives
/// what was answered.
fn interrupted(shop: &Shop, fail: impl FnOnce()) -> Option<Answer> {
    // Whatever a call needs to know beforehand.
    shop.retell("/api/services/list", &json!({"agent_id": AGENT, "call_id": unique("call")}));
    shop.square.set_faults(&json!({"next": ["commit-then-wait"]}));
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            // A gateway that is killed gives no answer.
            let ask = || retell_at(&shop.gateway, CANCEL, &cancellation());
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask))
        });
        let until = Instant::now() + PATIENCE;
        while shop.square.booking("BOOKING#123")["status"] != "CANCELLED_BY_CUSTOMER" {
            assert!(Instant::now() < until, "Square did not do it: {}", shop.square.state());
            thread::yield_now();
        }
        fail();
        asking.join().unwrap().ok()
    })
}

/// What can be said to somebody on the telephone.
#[track_caller]
fn check_speakable(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    let message = said["message"].as_str().unwrap_or_else(|| panic!("{said}"));
    assert!(message.ends_with(['.', '?', '!']) && message.len() < 200, "{said}");
    for word in ["database", "Postgres", "store", "error", "timeout"] {
        assert!(!message.contains(word), "{said}");
    }
}

/// Waits until every tool call that is on record has an end. A moment after an outage the node
/// may not ask its database yet.
fn wait_for_ends(shop: &Shop) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = shop.api("GET", "/api/v1/tool-calls?limit=1000", "");
        let calls = (answer.status == 200).then(|| answer.json()["data"].clone());
        let has_ended = |it: &Value| it["state"] != "started";
        if calls.is_some_and(|it| it.as_array().unwrap().iter().all(has_ended)) {
            return;
        }
        assert!(Instant::now() < until, "{answer:?}");
        thread::yield_now();
    }
}

#[test]
fn a_node_that_is_killed_after_the_effect_leaves_the_other_no_second_one() {
    let Two { shop, other, _other, _database } = Two::open();
    let answer = interrupted(&shop, || shop.gateway.signal(Signal::KILL));
    assert!(answer.is_none(), "{answer:?}");
    shop.square.set_faults(&json!({}));
    // Nobody can say yet whether the node that began is still at it.
    let answer = retell_at(&other, CANCEL, &cancellation());
    check_speakable(&answer);
    assert_eq!(answer.json()["status"], "pending", "{answer:?}");
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 1);
}

/// Lets the network fail in the middle of a tool call, heals it, and says the same again.
fn cut_off(fail: impl FnOnce(&Proxy)) {
    let database = Cluster::shared().database();
    let proxy = Proxy::start(Upstream::Tcp(database.cluster().address()));
    let shop = shop(&database.url_through(&proxy));
    let answer = interrupted(&shop, || fail(&proxy)).unwrap();
    check_speakable(&answer);
    shop.square.set_faults(&json!({}));
    proxy.heal();
    shop.gateway.wait_for_store();
    wait_for_ends(&shop);
    let until = Instant::now() + PATIENCE;
    let said = loop {
        let said = shop.retell(CANCEL, &cancellation()).json();
        // A moment after an outage the node may not ask its database yet.
        if said["status"] != "unavailable" || Instant::now() > until {
            break said;
        }
    };
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 1, "done once");
}

#[test]
fn a_database_that_is_gone_in_the_middle_of_a_tool_call_leads_to_one_effect() {
    cut_off(Proxy::refuse);
}

#[test]
fn a_database_that_is_frozen_in_the_middle_of_a_tool_call_leads_to_one_effect() {
    cut_off(Proxy::freeze);
}

#[test]
fn without_a_database_no_tool_is_called_and_the_caller_hears_a_sentence() {
    let database = Cluster::shared().database();
    let proxy = Proxy::start(Upstream::Tcp(database.cluster().address()));
    let shop = shop(&database.url_through(&proxy));
    let asked = shop.square.state()["requests"].clone();
    for fail in [Proxy::refuse, Proxy::freeze] {
        fail(&proxy);
        let answer = shop.retell(CANCEL, &cancellation());
        check_speakable(&answer);
        assert_eq!(answer.json()["ok"], false, "{answer:?}");
        assert_eq!(shop.square.state()["requests"], asked);
        proxy.heal();
        shop.gateway.wait_for_store();
        wait_for_ends(&shop);
        assert_eq!(shop.square.state()["requests"], asked, "what was spooled calls nothing");
    }
    let said = shop.retell(CANCEL, &cancellation()).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["version"], 1);
}
