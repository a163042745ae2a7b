//! Master keys: one follows another without a gap.

use crate::bench::Bench;
use crate::tenants::{done, run};

const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

#[test]
fn data_keys_move_to_a_new_master_key_while_the_gateway_runs() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef").set("HOOKGATE_MASTER_KEY", OLD);
    let gateway = bench.serve(&[]);
    done(&bench, "tenant add acme --name acme");
    bench.file("token", "canary-of-square");
    done(&bench, "credential set acme crm --file token");

    bench.set("HOOKGATE_MASTER_KEY", NEW);
    let wrong = run(&bench, "secret rewrap");
    assert!(wrong.code == 1 && wrong.err.contains("HOOKGATE_MASTER_KEY"), "{wrong:?}");
    bench.set("HOOKGATE_MASTER_KEY", "not a key");
    assert_eq!(run(&bench, "secret rewrap").code, 2);
    bench.set("HOOKGATE_MASTER_KEY", &format!("{NEW} {OLD}"));
    let said = done(&bench, "secret rewrap");
    assert!(!said.starts_with('0') && said.contains("under the first master key now"), "{said}");
    assert!(done(&bench, "secret rewrap").contains("already"));
    assert_eq!(done(&bench, "secret rewrap --json"), "{\"rewrapped\":0}\n");
    assert_eq!(run(&bench, "secret rewrap --store nowhere").code, 1);
    gateway.stop();

    bench.set("HOOKGATE_MASTER_KEY", OLD);
    let refused = run(&bench, "serve --listen 127.0.0.1:0");
    assert!(refused.code != 0 && refused.err.contains("master key"), "{refused:?}");
    bench.set("HOOKGATE_MASTER_KEY", NEW);
    let gateway = bench.serve(&[]);
    assert!(done(&bench, "credential list acme").contains("crm"));
    done(&bench, "credential set acme crm --file token");
    gateway.stop();
}
