//! The role that transactions switch to.

use hookgate_store::{APP_ROLE, RoleError, ensure_role};
use hookgate_testpg::{Cluster, Options};

use crate::{connect, one};

fn url_of(cluster: &Cluster, login: &str) -> String {
    cluster.socket_url("postgres").replace("postgres@", &format!("{login}@"))
}

#[test]
fn the_role_is_made_by_who_may_and_asked_for_by_who_may_not() {
    // Roles belong to the whole server.
    let cluster = Cluster::start(&Options::default());
    let mut admin = cluster.admin();
    admin
        .batch_execute("CREATE ROLE \"pl ain\" LOGIN; CREATE ROLE maker LOGIN CREATEROLE")
        .unwrap();

    let mut plain = connect(&url_of(&cluster, "pl%20ain")).unwrap();
    let error = ensure_role(&mut plain).unwrap_err();
    let statements = "CREATE ROLE hookgate_app NOLOGIN; GRANT hookgate_app TO \"pl ain\";";
    assert!(error.to_string().contains(statements), "{error}");
    // As it stands there, an administrator runs it.
    admin.batch_execute(statements).unwrap();
    ensure_role(&mut plain).unwrap();
    ensure_role(&mut plain).unwrap();
    let mut inside = plain.transaction().unwrap();
    inside.batch_execute("SET LOCAL ROLE hookgate_app").unwrap();
    let who: String = inside.query_one("SELECT current_user::text", &[]).unwrap().get(0);
    assert_eq!(who, APP_ROLE);
    drop(inside);

    admin.batch_execute("ALTER ROLE hookgate_app BYPASSRLS").unwrap();
    assert!(matches!(ensure_role(&mut plain), Err(RoleError::TooMighty)));
    drop(plain);
    admin.batch_execute("DROP ROLE hookgate_app").unwrap();

    // Nodes that begin at once, as somebody who may make roles.
    let url = url_of(&cluster, "maker");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ensure_role(&mut connect(&url).unwrap()).unwrap());
        }
    });
    let found = one(
        &mut admin,
        "SELECT concat_ws(' ', rolcanlogin, rolsuper, rolbypassrls) FROM pg_roles \
         WHERE rolname = 'hookgate_app'",
    );
    assert_eq!(found, "f f f");
}
