//! The program over PostgreSQL: what the commands say and do there.

use hookgate_testpg::{Cluster, Database, Options};
use serde_json::Value;

use crate::bench::{Bench, Ended};
use crate::tenants::{done, json, run, send, two_tenants};

const OPERATOR: &str = "operator-0123456789abcdef";
const VAPI_SECRET: &str = "vapi-0123456789abcdef0123456789abcdef";

/// 32 bytes in base64, the same on every node.
pub(crate) const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW_MASTER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// A folder of a node whose store is in a database of its own.
fn bench() -> (Bench, Database<'static>) {
    let database = Cluster::shared().database();
    let mut bench = Bench::new();
    bench
        .set("HOOKGATE_STORE", &database.url())
        .set("HOOKGATE_MASTER_KEY", MASTER_KEY)
        .set("HOOKGATE_ADMIN_TOKEN", OPERATOR)
        .set("VAPI_WEBHOOK_SECRET", VAPI_SECRET);
    (bench, database)
}

#[track_caller]
fn as_json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"))
}

#[test]
fn the_check_of_a_database_finds_what_something_else_changed() {
    let (mut bench, database) = bench();
    let nothing = run(&bench, "store check");
    assert!(nothing.code == 1 && nothing.err.contains("there is no store in"), "{nothing:?}");
    assert!(!nothing.err.contains("postgres@"), "{nothing:?}");

    let gateway = bench.serve(&[]);
    two_tenants(&bench);
    for call in ["call_1", "call_2", "call_3"] {
        assert_eq!(send(&bench, call, "a_acme"), 200);
    }
    // Beside the node that runs.
    let clean = run(&bench, "store check --json");
    assert_eq!((clean.code, &as_json(&clean)["clean"]), (0, &Value::Bool(true)), "{clean:?}");
    assert_eq!(as_json(&clean)["events"], 3);
    let said = done(&bench, "store check");
    assert!(said.starts_with("3 events, 0 large bodies, "), "{said}");
    assert!(said.ends_with("All is as it was written.\n"), "{said}");

    let mut client = database.connect();
    let change = "UPDATE hookgate.events SET payload = 'x' WHERE seq = (SELECT min(seq) FROM hookgate.events); \
                  UPDATE hookgate.events SET source = 'y' WHERE seq = (SELECT max(seq) FROM hookgate.events)";
    client.batch_execute(change).unwrap();
    let damaged = run(&bench, "store check --json");
    let report = as_json(&damaged);
    assert_eq!(damaged.code, 1, "{damaged:?}");
    assert_eq!([&report["corrupt"], &report["misindexed"]], [1, 1], "{report}");
    let damaged = run(&bench, "store check");
    assert_eq!(damaged.code, 1, "{damaged:?}");
    for sentence in ["is not what came", "changed 1 row of events", "restore what is missing"] {
        assert!(damaged.out.contains(sentence), "{damaged:?}");
    }
    assert!(!damaged.out.contains("store rebuild"), "{damaged:?}");

    gateway.stop();
    client.batch_execute("INSERT INTO hookgate.migrations VALUES (99, 'later')").unwrap();
    let newer = run(&bench, "store check");
    assert!(newer.code == 1 && newer.err.contains("newer version"), "{newer:?}");
    let older = "DELETE FROM hookgate.migrations WHERE version <> 1";
    client.batch_execute(older).unwrap();
    let older = run(&bench, "store check");
    assert!(older.code == 1 && older.err.contains("older version"), "{older:?}");
}

#[test]
fn the_check_takes_a_url_and_never_shows_its_password() {
    let (bench, database) = bench();
    let url = database.tcp_url();
    let ended = bench.run(&["store", "check", "--store", &url]);
    assert!(ended.code == 1 && ended.err.contains("there is no store in"), "{ended:?}");
    assert!(
        ended.err.contains(database.name()) && !ended.err.contains("correct-horse"),
        "{ended:?}"
    );
    let wrong = url.replace("correct-horse", "wrong-horse");
    let ended = bench.run(&["store", "check", "--store", &wrong]);
    assert!(ended.code == 1 && ended.err.contains("refuses user or password"), "{ended:?}");
    assert!(!ended.err.contains("-horse"), "{ended:?}");
}

#[test]
fn what_a_database_does_itself_is_said_with_what_to_do_instead() {
    let (bench, database) = bench();
    let ended = run(&bench, "store rebuild");
    assert!(ended.code == 2 && ended.err.contains("hookgate conversations rebuild"), "{ended:?}");
    let ended = run(&bench, "store backup copy");
    assert!(ended.code == 2 && ended.err.contains("pg_dump"), "{ended:?}");
    for command in ["events list --store", "rejections list --store"] {
        let ended = run(&bench, &format!("{command} {}", database.url()));
        assert!(ended.code == 2 && ended.err.contains("HOOKGATE_URL"), "{ended:?}");
    }
}

#[test]
fn data_keys_in_a_database_move_to_a_new_master_key() {
    let (mut bench, _database) = bench();
    let gateway = bench.serve(&[]);
    done(&bench, "tenant add acme --name acme");
    bench.file("token", "canary-of-square");
    done(&bench, "credential set acme crm --file token");
    bench.set("HOOKGATE_MASTER_KEY", NEW_MASTER_KEY);
    let wrong = run(&bench, "secret rewrap");
    assert!(wrong.code == 1 && wrong.err.contains("HOOKGATE_MASTER_KEY"), "{wrong:?}");
    bench.set("HOOKGATE_MASTER_KEY", &format!("{NEW_MASTER_KEY} {MASTER_KEY}"));
    let said = done(&bench, "secret rewrap");
    assert!(!said.starts_with('0') && said.contains("under the first master key now"), "{said}");
    assert_eq!(done(&bench, "secret rewrap --json"), "{\"rewrapped\":0}\n");
    gateway.stop();
    bench.set("HOOKGATE_MASTER_KEY", NEW_MASTER_KEY);
    let gateway = bench.serve(&[]);
    done(&bench, "credential set acme crm --file token");
    gateway.stop();
}

#[test]
fn nothing_is_made_in_a_database_before_there_is_a_master_key() {
    let (mut bench, database) = bench();
    bench.unset("HOOKGATE_MASTER_KEY");
    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert!(ended.code == 2 && ended.err.contains("HOOKGATE_MASTER_KEY"), "{ended:?}");
    let made = "SELECT to_regnamespace('hookgate') IS NOT NULL";
    assert!(!database.connect().query_one(made, &[]).unwrap().get::<_, bool>(0));
}

#[test]
fn a_login_that_may_not_make_the_schema_hears_what_to_grant() {
    // Roles belong to the whole server.
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut admin = database.connect();
    admin
        .batch_execute("CREATE ROLE plain LOGIN; CREATE ROLE other LOGIN; CREATE ROLE hookgate_app")
        .unwrap();
    let mut bench = Bench::new();
    bench
        .set("HOOKGATE_STORE", &database.url().replace("postgres@", "plain@"))
        .set("HOOKGATE_MASTER_KEY", MASTER_KEY)
        .set("HOOKGATE_ADMIN_TOKEN", OPERATOR);
    let both = |bench: &Bench, wanted: &str| {
        let doctor = run(bench, "doctor");
        assert!(doctor.code == 1 && doctor.out.contains(wanted), "{wanted}: {doctor:?}");
        let serve = run(bench, "serve --listen 127.0.0.1:0");
        assert!(serve.code == 1 && serve.err.contains(wanted), "{wanted}: {serve:?}");
        assert_eq!(serve.err.matches("cannot").count(), 1, "{serve:?}");
    };
    both(&bench, "GRANT hookgate_app TO plain;");
    admin.batch_execute("GRANT hookgate_app TO plain").unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {} TO plain;", database.name());
    both(&bench, &grant);
    admin.batch_execute(&grant).unwrap();
    let doctor = run(&bench, "doctor");
    assert!(doctor.out.contains("keeps a session"), "{doctor:?}");
    let made = "SELECT to_regnamespace('hookgate') IS NOT NULL";
    assert!(!admin.query_one(made, &[]).unwrap().get::<_, bool>(0), "the doctor made it");
    bench.serve(&[]).stop();
}

#[test]
fn a_cause_is_said_once() {
    let (mut bench, database) = bench();
    let wrong = database.tcp_url().replace("correct-horse", "wrong-horse");
    bench.set("HOOKGATE_STORE", &wrong);
    for command in ["serve --listen 127.0.0.1:0", "store check"] {
        let ended = run(&bench, command);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_eq!(ended.err.matches(database.name()).count(), 1, "{ended:?}");
        assert!(!ended.err.contains("PostgreSQL cannot be used"), "{ended:?}");
    }
}

#[test]
fn conversations_in_a_database_are_made_anew_by_the_gateway() {
    let (mut bench, _database) = bench();
    let without = run(&bench, "conversations rebuild");
    assert!(without.code == 1 && without.err.contains("cannot reach the gateway"), "{without:?}");
    let gateway = bench.serve(&[]);
    two_tenants(&bench);
    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    let said = done(&bench, "conversations rebuild");
    assert_eq!(said, "Made anew: 1 conversation.\n");
    let listed = json(&bench, "conversations list");
    assert_eq!(listed["data"][0]["external_id"], "call_1", "{listed}");
    gateway.stop();
}

/// The table of a receiver of MightyCall on Supabase.
const TABLE: &str = "\
    CREATE TABLE public.org_integrations (
        id UUID PRIMARY KEY, org_id UUID, provider TEXT NOT NULL,
        encrypted_credentials TEXT, metadata JSONB);
    INSERT INTO public.org_integrations VALUES
        ('00000000-0000-0000-0000-00000000000a', 'aaaaaaaa-0000-0000-0000-000000000001',
         'mightycall', 'canary-of-credentials', '{}'),
        ('00000000-0000-0000-0000-00000000000b', 'aaaaaaaa-0000-0000-0000-000000000001',
         'MightyCall', NULL, NULL),
        ('00000000-0000-0000-0000-00000000000c', 'aaaaaaaa-0000-0000-0000-000000000002',
         'mightycall', NULL, NULL),
        ('00000000-0000-0000-0000-00000000000d', 'aaaaaaaa-0000-0000-0000-000000000001',
         'hubspot', NULL, NULL)";

const FIRST: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const SECOND: &str = "aaaaaaaa-0000-0000-0000-000000000002";

fn bindings(bench: &Bench) -> Vec<String> {
    let listed = json(bench, "binding list --provider mightycall --kind integration");
    let one = |it: &Value| {
        let text = |name: &str| it[name].as_str().unwrap().to_owned();
        format!("{} {}", &text("external_id")[35..], &text("tenant")[35..])
    };
    let mut all: Vec<_> = listed["data"].as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

#[test]
fn a_table_that_another_receiver_left_is_taken_over_once() {
    const IMPORT: &str = "binding import --org-integrations";
    let (mut bench, database) = bench();
    bench.set("MIGHTYCALL_WEBHOOK_SECRET", "mightycall-0123456789abcdef0123");
    let gateway = bench.serve(&[]);
    let none = run(&bench, IMPORT);
    assert!(none.code == 1 && none.err.contains("no table public.org_integrations"), "{none:?}");
    let mut client = database.connect();
    client.batch_execute(TABLE).unwrap();

    let dry = json(&bench, &format!("{IMPORT} --dry-run"));
    assert_eq!(
        [&dry["dry_run"], &dry["created"], &dry["left_out"], &dry["tenants"]],
        [&Value::Bool(true), &3.into(), &1.into(), &serde_json::json!([FIRST, SECOND])],
        "{dry}"
    );
    assert!(done(&bench, &format!("{IMPORT} --dry-run")).contains("Nothing was changed"));
    assert!(bindings(&bench).is_empty());
    assert_eq!(json(&bench, "tenant list")["data"].as_array().unwrap().len(), 0);

    let said = done(&bench, IMPORT);
    let last = "3 bound, 0 were already, 0 taken; 2 tenants added. 1 rows were left out: of other \
                providers, or without an id or an organisation.\n";
    assert!(said.ends_with(last), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(bindings(&bench), ["a 1", "b 1", "c 2"]);
    let again = json(&bench, IMPORT);
    assert_eq!([&again["created"], &again["present"], &again["taken"]], [0, 3, 0], "{again}");
    assert_eq!(again["tenants"], serde_json::json!([]));

    // An event that names an integration, and nothing else, is its organisation's now.
    let body = r#"{"event":"call.completed","call_id":"c-1","integration_id":"00000000-0000-0000-0000-00000000000c"}"#;
    let headers = [("authorization", "Bearer mightycall-0123456789abcdef0123")];
    let answer = gateway.post("/functions/v1/mightycall-webhook", &headers, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(json(&bench, "events list --provider mightycall")["data"][0]["tenant"], SECOND);

    // What is bound elsewhere stays there, stops nothing, and is said.
    let more = "INSERT INTO public.org_integrations VALUES
        ('00000000-0000-0000-0000-00000000000e', 'aaaaaaaa-0000-0000-0000-000000000003', 'mightycall'),
        ('00000000-0000-0000-0000-00000000000f', 'aaaaaaaa-0000-0000-0000-000000000001', 'mightycall')";
    client.batch_execute(more).unwrap();
    let elsewhere = format!(
        "binding add --tenant {SECOND} --provider mightycall --kind integration 00000000-0000-0000-0000-00000000000e"
    );
    done(&bench, &elsewhere);
    let mixed = run(&bench, IMPORT);
    assert_eq!(mixed.code, 1, "{mixed:?}");
    let conflict = format!("00000000000e: TAKEN: it is bound to {SECOND}, and the table says");
    assert!(mixed.out.contains(&conflict), "{mixed:?}");
    assert!(mixed.out.contains("1 bound, 3 were already, 1 taken; 0 tenants added."), "{mixed:?}");
    assert_eq!(bindings(&bench), ["a 1", "b 1", "c 2", "e 2", "f 1"]);
    gateway.stop();
}

#[test]
fn a_store_in_a_folder_takes_over_a_table_of_another_database() {
    let database = Cluster::shared().database();
    let mut client = database.connect();
    // Ids of another kind than here, and one that can be no tenant's.
    let table = "CREATE TABLE public.org_integrations (id BIGINT, org_id TEXT, provider TEXT);
                 INSERT INTO public.org_integrations VALUES (7, 'acme', 'mightycall'),
                 (8, 'two words', 'mightycall')";
    client.batch_execute(table).unwrap();
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", OPERATOR);
    let gateway = bench.serve(&[]);
    done(&bench, "tenant add acme --name Acme");
    let nowhere = run(&bench, "binding import --org-integrations");
    assert!(nowhere.code == 2 && nowhere.err.contains("--from postgres://"), "{nowhere:?}");
    let url = database.url();
    let ended = bench.run(&["binding", "import", "--org-integrations", "--from", &url, "--json"]);
    let report = as_json(&ended);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!([&report["created"], &report["refused"]], [1, 1], "{report}");
    assert_eq!(report["tenants"], serde_json::json!([]), "acme was there");
    let bound = json(&bench, "binding list --tenant acme");
    assert_eq!(bound["data"][0]["external_id"], "7", "{bound}");
    gateway.stop();
}
