//! Alerts from the real program: one for what goes wrong, none for what was told before a
//! restart.

use serde_json::Value;

use crate::bench::{Bench, Gateway, PATIENCE};
use crate::passed_on::{Arrived, SECRET, TOKEN, receiver, send};
use crate::tenants::{done, json, run};

/// A gateway that looks each second.
fn gateway(bench: &mut Bench, more: &str) -> Gateway {
    bench
        .set("HOOKGATE_ADMIN_TOKEN", TOKEN)
        .set("VAPI_WEBHOOK_SECRET", SECRET)
        .set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
    let waits = r#"retry = ["1s", "1s", "1s", "1s", "1s"]"#;
    let text = format!("[delivery]\n{waits}\n[alerts]\ninterval = \"1s\"\n{more}");
    bench.file("hookgate.toml", &text);
    bench.serve(&[])
}

fn kind(arrived: &Arrived) -> String {
    let body: Value = serde_json::from_str(&arrived.body).unwrap();
    assert_eq!(body["type"], body["data"]["kind"], "{body}");
    assert_eq!(arrived.headers["x-hookgate-kind"], body["type"].as_str().unwrap());
    body["type"].as_str().unwrap().to_owned()
}

#[test]
fn what_fails_is_told_elsewhere_once_and_not_again_after_a_restart() {
    let mut bench = Bench::new();
    // Whatever the disk of this machine is like.
    let mut gateway =
        gateway(&mut bench, "[store]\ndisk_warn_percent = 100\ndisk_full_percent = 100\n");
    let (well, told) = receiver(|_| 200);
    let (broken, _failed) = receiver(|_| 500);
    done(&bench, &format!("destination add --kind http --url http://{well}/ --event alert.*"));
    done(&bench, &format!("destination add --kind http --url http://{broken}/"));
    for number in 0..6 {
        send(&gateway, number);
    }
    assert_eq!(kind(&told.recv_timeout(PATIENCE).unwrap()), "alert.destination_failing");
    gateway.wait_for_metric("hookgate_alerts{kind=\"alert.destination_failing\"} 1");
    gateway.stop();
    gateway = bench.serve(&[]);
    for number in 0..25 {
        let wrong = [("x-vapi-secret", "not it")];
        let body = format!(r#"{{"message":{{"n":{number}}}}}"#);
        assert_eq!(gateway.post("/webhook/vapi", &wrong, &body).status, 401);
    }
    // Were the first told again, it would come before this one.
    let next = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(kind(&next), "alert.rejections_rising");
    assert!(next.body.contains("the source vapi refused"), "{}", next.body);
    let listed = json(&bench, "alerts list");
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed.iter().all(|it| it["state"] == "raised"));
    let said = done(&bench, "alerts list");
    assert!(said.contains("alert.rejections_rising") && said.contains("vapi"), "{said}");
    let deliveries = json(&bench, "deliveries list --kind alert.rejections_rising");
    assert_eq!(deliveries["data"][0]["state"], "delivered");
    assert_eq!(deliveries["data"][0]["event_id"], listed[0]["id"]);
    gateway.stop();
}

#[test]
fn a_disk_past_its_mark_is_told_and_nothing_is_where_nobody_looks() {
    let mut bench = Bench::new();
    let (well, told) = receiver(|_| 200);
    let gateway = gateway(&mut bench, "[store]\ndisk_warn_percent = 1\n");
    done(
        &bench,
        &format!("destination add --kind ntfy --url http://{well}/ --event alert.disk_filling"),
    );
    let second = run(&bench, "alerts list");
    assert_eq!(second.code, 0, "{second:?}");
    // What was raised before the destination was made is in the list alone.
    gateway.wait_for_metric("hookgate_alerts{kind=\"alert.disk_filling\"} 1");
    let alert = json(&bench, "alerts list")["data"][0].clone();
    assert_eq!((&alert["kind"], &alert["subject"]), (&"alert.disk_filling".into(), &"disk".into()));
    assert_eq!(alert["facts"]["mark_percent"], 1);
    gateway.stop();
    if let Ok(arrived) = told.try_recv() {
        assert_eq!(arrived.headers["title"], "Disk filling");
    }
    bench.file("hookgate.toml", "[alerts]\nenabled = false\n");
    let gateway = bench.serve(&[]);
    let metrics = gateway.get("/metrics", &[("authorization", &format!("Bearer {TOKEN}"))]);
    assert_eq!(metrics.status, 200);
    assert!(!metrics.body.contains("hookgate_alerts"));
    gateway.stop();
    for wrong in ["interval = \"0s\"", "interval = \"soon\"", "silence = \"40d\"", "rejections = 0"]
    {
        bench.file("hookgate.toml", &format!("[alerts]\n{wrong}\n"));
        let ended = bench.run(&["serve"]);
        assert!(ended.code == 2 && ended.err.contains("[alerts]"), "{wrong}: {ended:?}");
    }
}
