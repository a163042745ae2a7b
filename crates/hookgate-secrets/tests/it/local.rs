//! Credentials in the environment and in files.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::bench::{Bench, shown, tenant};

#[tokio::test]
async fn a_variable_is_named_after_tenant_and_credential() {
    let bench = Bench::new().await;
    let secrets = bench.secrets("backend = 'env'").await;
    bench.set("HOOKGATE_CREDENTIAL_ACME_SQUARE", " {\"access_token\":\"t\"}\n");
    bench.set("HOOKGATE_CREDENTIAL_ACME_A_B_C", "plain");
    bench.set("HOOKGATE_CREDENTIAL_ACME_EMPTY", "  ");
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), "{\"access_token\":\"t\"}");
    assert_eq!(shown(secrets.get(&acme, "a-b.c").await), "plain");
    assert_eq!(shown(secrets.get(&acme, "empty").await), "-");
    assert_eq!(shown(secrets.get(&acme, "missing").await), "-");
    assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "-");
    let named = bench.secrets("backend = 'env'\n[env]\nname = 'X_{NAME}_OF_{TENANT}'").await;
    bench.set("X_SQUARE_OF_ACME", "mine");
    assert_eq!(shown(named.get(&acme, "square").await), "mine");
}

#[tokio::test]
async fn a_variable_that_two_tenants_could_mean_is_nobodys() {
    let bench = Bench::new().await;
    let secrets = bench.secrets("backend = 'env'").await;
    bench.set("HOOKGATE_CREDENTIAL_ACME_EU_SQUARE", "whose?");
    assert_eq!(shown(secrets.get(&tenant("acme"), "eu-square").await), "whose?");
    bench.add_tenant("acme.eu").await;
    bench.time.wait(10);
    for (id, name) in [("acme.eu", "square"), ("acme", "eu_square")] {
        let got = shown(secrets.get(&tenant(id), name).await);
        assert!(got.contains("could be another tenant's"), "{id} {name}: {got}");
    }
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), "-");
}

#[tokio::test]
async fn a_file_is_read_and_read_again_when_it_changes() {
    let bench = Bench::new().await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("acme")).unwrap();
    std::fs::write(path("acme/square"), "{\"a\":1}\n").unwrap();
    std::fs::create_dir(path("acme/folder")).unwrap();
    std::fs::write(path("acme/large"), vec![b'x'; (64 << 10) + 1]).unwrap();
    std::fs::write(path("elsewhere"), "linked").unwrap();
    symlink(path("elsewhere"), path("acme/link")).unwrap();
    let settings = format!("backend = 'file'\n[file]\nfolder = '{}'", folder.path().display());
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    let get = async |name: &str| shown(secrets.get(&acme, name).await);
    assert_eq!(get("square").await, "{\"a\":1}");
    assert_eq!(get("link").await, "linked", "mounted secrets are links");
    assert_eq!(get("missing").await, "-");
    assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "-");
    assert!(get("folder").await.contains("its file cannot be read"));
    assert!(get("large").await.contains("larger than 64 KiB"));
    std::fs::write(path("acme/square"), "{\"a\":2}").unwrap();
    bench.time.wait(10);
    assert_eq!(get("square").await, "{\"a\":2}");
    std::fs::remove_file(path("acme/square")).unwrap();
    bench.time.wait(10);
    assert_eq!(get("square").await, "-");
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let bench = Bench::new().await;
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    std::fs::write(folder.path().join("outside"), "outside").unwrap();
    let inner = folder.path().join("inner");
    let settings = format!("backend = 'file'\n[file]\nfolder = '{}'", inner.display());
    let secrets = bench.secrets(&settings).await;
    for name in ["../outside", "..", ".", "/etc/passwd", "a/../../outside"] {
        let got = shown(secrets.get(&tenant("acme"), name).await);
        assert!(got.contains("a credential's name has"), "{name}: {got}");
    }
}
