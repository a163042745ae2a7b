//! What may stand in `[secrets]`.

use std::sync::Arc;

use hookgate_core::secret::Secret;
use hookgate_egress::{Egress, Settings};

use super::*;
use crate::system_clock;

fn around() -> Surroundings {
    Surroundings {
        egress: Egress::new(Settings::default()).unwrap(),
        variables: Arc::new(|_| None),
        references: Arc::new(|_| Ok(Secret::new("x"))),
        clock: system_clock(),
    }
}

fn read(text: &str) -> Result<SecretsSettings, toml::de::Error> {
    toml::from_str(text)
}

#[track_caller]
fn check(text: &str, expected: Result<&str, &str>) {
    let settings = read(text).unwrap();
    let backend = settings.backend(&around());
    let said = backend.map(|it| it.name().to_owned()).map_err(|it| it.to_string());
    assert_eq!(said.as_deref().map_err(String::as_str), expected, "{text}");
}

const VAULT: &str = "backend = 'vault'\n[vault]\naddress = 'https://vault.example.com:8200'\n";
const AZURE: &str = "backend = 'azure'\n[azure]\nvault = 'https://x.vault.azure.net'\n";

#[test]
fn each_place_needs_little() {
    check("", Ok("the store"));
    check("backend = 'db'\nagent = 'agent-{agent_id}'", Ok("the store"));
    check("backend = 'env'", Ok("the environment"));
    check("backend = 'file'\n[file]\nfolder = '/run/secrets'", Ok("the secret files"));
    check(&format!("{VAULT}token = 'env:VAULT_TOKEN'"), Ok("Vault"));
    check(&format!("{VAULT}role_id = 'env:R'\nsecret_id = 'file:/s'"), Ok("Vault"));
    check(&format!("{AZURE}identity = 'managed'"), Ok("Azure Key Vault"));
    let client = "identity = 'client'\ndirectory = 'd'\nclient_id = 'c'\nclient_secret = 'env:S'";
    check(&format!("{AZURE}{client}"), Ok("Azure Key Vault"));
}

#[test]
fn a_fault_names_its_key() {
    check("backend = 'file'", Err("[secrets.file] folder is missing"));
    check("backend = 'vault'", Err("[secrets.vault] address is missing"));
    let no_token = "[secrets.vault] token is needed, or `role_id` and `secret_id` in its place";
    check(VAULT, Err(no_token));
    check(&format!("{VAULT}role_id = 'env:R'"), Err(no_token));
    check(
        &format!("{VAULT}role_id = 'env:R'\nsecret_id = 'env:S'\ntoken = 'env:T'"),
        Err(no_token),
    );
    check(
        "backend = 'vault'\n[vault]\naddress = 'https://u:p@v/'\ntoken = 'env:T'",
        Err("[secrets.vault] address must be scheme, host and path only"),
    );
    check(
        "backend = 'vault'\n[vault]\naddress = 'vault:8200'\ntoken = 'env:T'",
        Err("[secrets.vault] address is neither http nor https"),
    );
    check(
        &format!("{VAULT}token = 'env:T'\nmount = 'a/../b'"),
        Err("[secrets.vault] mount is no path of a mount"),
    );
    check(
        &format!("{VAULT}token = 'env:T'\npath = '{{tenant}}'"),
        Err("[secrets.vault] path must hold {tenant} and {name} once each"),
    );
    check(AZURE, Err("[secrets.azure] identity is missing"));
    check(
        &format!("{AZURE}identity = 'user'"),
        Err("[secrets.azure] identity must be `client` or `managed`"),
    );
    check(
        &format!("{AZURE}identity = 'client'\ndirectory = 'd'\nclient_id = 'c'"),
        Err("[secrets.azure] client_secret is missing"),
    );
    check("agent = 'agent'", Err("[secrets] agent must hold {agent_id} once, and no other"));
    check("deadline_seconds = 0", Err("[secrets] deadline_seconds must be 1 to 60"));
    check("backend = 'env'\ncached_max = 0", Err("[secrets] cached_max must be 1 to 32768"));
    check(
        "backend = 'env'\nstale_seconds = 604801",
        Err("[secrets] stale_seconds is longer than a week"),
    );
}

#[test]
fn a_table_of_another_place_is_a_mistake() {
    check(
        "[vault]\naddress = 'https://v'",
        Err("[secrets.vault] is there, but `backend` names another place"),
    );
}

#[test]
fn an_unknown_key_is_refused() {
    for text in ["backnd = 'db'", "backend = 'redis'", "[vault]\ntokn = 'x'", "[env]\nprefix = 'x'"]
    {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn a_secret_that_was_written_in_the_place_of_a_reference_does_not_print() {
    let text = format!("{VAULT}token = 'hvs.canary'\nrole_id = 'canary'\nsecret_id = 'canary'");
    let settings = read(&text).unwrap();
    let error = settings.backend(&around()).unwrap_err();
    assert!(!format!("{settings:?} {error} {error:?}").contains("canary"));
}

#[test]
fn what_the_documentation_shows_can_be_used() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        secrets: SecretsSettings,
    }
    let page = include_str!("../../../../docs/secrets.md");
    let examples: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert_eq!(examples.len(), 6);
    for example in examples {
        let text = example.split("```").next().unwrap();
        let file: File = toml::from_str(text).unwrap();
        if let Err(error) = file.secrets.backend(&around()) {
            panic!("{error} in {text}");
        }
    }
}
