//! What the files say is what holds.

use std::time::Duration;

use hookgate_core::attribution::Rule;
use hookgate_core::source::Verification;
use hookgate_core::tenant::TenantId;

use super::*;

const EXAMPLE: &str = include_str!("../../../../config.example.toml");

fn check(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Config> {
    let raw = RawConfig::parse(text).map_err(anyhow::Error::msg)?;
    Config::check(raw, None, &Flags::default(), &Environment::of(variables))
}

/// The example with every setting that is commented out put in force. Prose has a blank
/// behind its `#`, a setting has none.
fn uncommented() -> String {
    let line = |line: &str| {
        line.strip_prefix('#').filter(|it| !it.starts_with([' ', '#'])).unwrap_or(line).to_owned()
    };
    EXAMPLE.lines().map(|it| line(it) + "\n").collect()
}

#[test]
fn the_example_as_it_is_changes_nothing() {
    let raw = RawConfig::parse(EXAMPLE).unwrap();
    assert_eq!(raw, RawConfig::default());
}

#[test]
fn the_example_shows_every_default() {
    let variables = [
        ("ACME_SECRET", "0123456789abcdef"),
        ("ACME_API_KEY", "key"),
        ("ACME_TOOL_SECRET", "0123456789abcdef"),
    ];
    let shown = check(&uncommented(), &variables).unwrap();
    let default = check("", &variables).unwrap();
    assert_eq!(shown.listen, default.listen);
    assert_eq!(shown.require_https, default.require_https);
    assert_eq!(shown.log_format, default.log_format);
    assert_eq!(shown.log_level, default.log_level);
    assert_eq!(shown.store.path, default.store.path);
    assert_eq!(format!("{:?}", shown.store.options), format!("{:?}", default.store.options));
    assert_eq!(format!("{:?}", shown.limits), format!("{:?}", default.limits));
    assert_eq!(shown.delivery.schedule, default.delivery.schedule);
    assert_eq!(shown.delivery.in_flight, default.delivery.in_flight);
    assert_eq!(shown.archiving.by_default, default.archiving.by_default);
    assert_eq!(shown.archiving.bytes_max, default.archiving.bytes_max);
    let [built_in @ .., acme] = shown.sources.as_slice() else {
        panic!("the example has a source")
    };
    assert_eq!(built_in.len(), default.sources.len());
    for (shown, default) in built_in.iter().zip(&default.sources) {
        assert_eq!(shown.source.policy, default.source.policy, "{}", shown.source.name);
        assert_eq!(shown.source.verification, default.source.verification);
        assert_eq!(shown.source.body_bytes_max, default.source.body_bytes_max);
        assert_eq!(shown.source.large_body_bytes_max, default.source.large_body_bytes_max);
    }
    assert_eq!(
        (acme.source.name.as_str(), acme.source.verification),
        ("acme", Verification::Enforce)
    );
    assert_eq!(acme.paths, ["/hooks/acme"]);
    let rule = Rule::default();
    assert_eq!(acme.source.rule, rule);
    assert_eq!(acme.source.tenant.as_ref().map(TenantId::as_str), Some("acme"));
}

#[test]
fn the_example_has_every_key() {
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let keys = |path: &[&str]| {
        let mut table = &table;
        for name in path {
            table = table[*name].as_table().unwrap();
        }
        table.keys().cloned().collect::<Vec<String>>()
    };
    // What serde says when it meets an unknown key is the list of those it knows.
    let known = |text: &str| {
        let fault = RawConfig::parse(text).unwrap_err();
        let list = fault.split("expected ").nth(1).unwrap().replace("one of ", "").replace('`', "");
        let mut keys: Vec<String> = list
            .split([',', ' '])
            .filter(|it| !matches!(*it, "" | "or"))
            .map(str::to_owned)
            .collect();
        keys.sort_unstable();
        keys
    };
    for (path, text) in [
        (vec![], "unknown = 1"),
        (vec!["server"], "[server]\nunknown = 1"),
        (vec!["store"], "[store]\nunknown = 1"),
        (vec!["store", "unproven"], "[store.unproven]\nunknown = 1"),
        (vec!["limits"], "[limits]\nunknown = 1"),
        (vec!["tls"], "[tls]\nunknown = 1"),
        (vec!["log"], "[log]\nunknown = 1"),
        (vec!["egress"], "[egress]\nunknown = 1"),
        (vec!["delivery"], "[delivery]\nunknown = 1"),
        (vec!["secrets"], "[secrets]\nunknown = 1"),
        (vec!["secrets", "env"], "[secrets.env]\nunknown = 1"),
        (vec!["secrets", "file"], "[secrets.file]\nunknown = 1"),
        (vec!["secrets", "vault"], "[secrets.vault]\nunknown = 1"),
        (vec!["secrets", "azure"], "[secrets.azure]\nunknown = 1"),
        (vec!["source", "acme"], "[source.acme]\nunknown = 1"),
        (vec!["source", "acme", "limits"], "[source.acme.limits]\nunknown = 1"),
    ] {
        let mut shown = keys(&path);
        shown.sort_unstable();
        assert_eq!(shown, known(text), "{path:?}");
    }
}

#[test]
fn a_schedule_of_deliveries_has_waits_that_can_be_waited() {
    let retry = |list: &str| {
        let config = check(&format!("[delivery]\nretry = {list}"), &[]);
        config.map(|it| it.delivery.schedule.iter().map(Duration::as_secs).collect::<Vec<_>>())
    };
    assert_eq!(retry(r#"["5s", "5m", "2h", "7d"]"#).unwrap(), [5, 300, 7_200, 604_800]);
    assert!(retry("[]").unwrap().is_empty(), "one attempt and no more");
    for list in
        [r#"["0s"]"#, r#"["8d"]"#, r#"["soon"]"#, r#"["-5s"]"#, &format!("{:?}", ["1s"; 33])]
    {
        assert!(retry(list).is_err(), "{list}");
    }
    assert!(check("[delivery]\nin_flight = 0", &[]).is_err());
}

#[test]
fn recordings_are_kept_wherever_the_store_is() {
    let elsewhere = [("HOOKGATE_STORE", "postgres://me@localhost/x")];
    for store in [&[][..], &elsewhere] {
        for text in ["[recordings]\narchive = true", "[source.vapi]\narchive_recordings = true"] {
            assert!(check(text, store).unwrap().archiving.is_on(), "{text}");
        }
        let off = "[recordings]\narchive = false\n[source.vapi]\narchive_recordings = false";
        assert!(!check(off, store).unwrap().archiving.is_on());
    }
}

#[test]
fn the_environment_example_has_every_variable_and_no_value() {
    let text = include_str!("../../../../.env.example");
    for provider in provider::ALL {
        for name in provider.secret_variables.iter().chain(&provider.account_key_variable) {
            assert!(text.contains(&format!("{name}=")), "{name}");
        }
    }
    for name in [
        "HOOKGATE_ADMIN_TOKEN",
        "HOOKGATE_MASTER_KEY",
        "HOOKGATE_LISTEN",
        "HOOKGATE_STORE",
        "HOOKGATE_PUBLIC_URL",
        "HOOKGATE_EGRESS_ALLOW",
        "HOOKGATE_URL",
        "PORT",
        "RUST_LOG",
    ] {
        assert!(text.contains(&format!("{name}=")), "{name}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(&path, text).unwrap();
    for (name, value) in crate::dotenv::read(&path).unwrap() {
        assert_eq!(value, "", "{name}");
    }
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file =
        "[server]\nlisten = \"127.0.0.1:1\"\n[store]\npath = \"file\"\n[log]\nformat = \"json\"\n";
    let listen = |flag: Option<&str>, variables: &[(&str, &str)]| {
        let raw = RawConfig::parse(file).unwrap();
        let flags = Flags {
            listen: flag.map(str::to_owned),
            store: flag.map(|_| "flag".to_owned().into()),
            log_format: flag.map(|_| LogFormat::Human),
            ..Flags::default()
        };
        let config = Config::check(raw, None, &flags, &Environment::of(variables)).unwrap();
        format!("{} {} {:?}", config.listen, config.store.path.display(), config.log_format)
    };
    assert_eq!(listen(None, &[]), "127.0.0.1:1 file Json");
    assert_eq!(listen(None, &[("PORT", "2")]), "0.0.0.0:2 file Json");
    let variables = [("PORT", "2"), ("HOOKGATE_LISTEN", "[::1]:3"), ("HOOKGATE_STORE", "variable")];
    assert_eq!(listen(None, &variables), "[::1]:3 variable Json");
    assert_eq!(listen(Some("localhost:4"), &variables), "127.0.0.1:4 flag Human");
}

#[test]
fn a_source_takes_schemes_by_name_and_as_tables() {
    let text = r#"
        [source.hooks-2]
        provider = "vapi"
        schemes = ["vapi.secret", { scheme = "vapi.hmac", config = { algorithm = "sha512", encoding = "base64" } }]
        secret = ["env:ONE", "env:TWO"]
        verification = "record"
        allow_from = ["10.0.0.0/8", "192.0.2.7"]
        limits = { body = "64 KiB" }
    "#;
    let config =
        check(text, &[("ONE", "first second"), ("TWO", "third"), ("VAPI_WEBHOOK_SECRET", "other")])
            .unwrap();
    let it = config.sources.last().unwrap();
    assert_eq!(it.source.secrets.shared().len(), 3);
    assert_eq!(it.source.verification, Verification::Record);
    assert_eq!(
        it.source.policy.schemes().iter().map(|it| it.name).collect::<Vec<_>>(),
        ["vapi.secret", "vapi.hmac"]
    );
    assert_eq!(
        it.allow_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.0.2.7/32"]
    );
    assert_eq!(it.source.body_bytes_max, 65_536);
    let one = check("[source.vapi]\nschemes = \"vapi.secret\"\n", &[]).unwrap();
    assert!(
        one.sources
            .iter()
            .any(|it| it.source.name == "vapi" && it.source.policy.schemes().len() == 1)
    );
}

#[test]
fn a_variable_says_what_happens_without_proof() {
    let config =
        check("[source.a-b]\nprovider = \"tawk\"\n", &[("HOOKGATE_A_B_VERIFICATION", "record")])
            .unwrap();
    assert_eq!(config.sources.last().unwrap().source.verification, Verification::Record);
}
