//! The role that every transaction switches to.
//!
//! Whoever logs in owns the tables or is a superuser, and both may see more than a tenant's
//! rows. So every transaction becomes `hookgate_app` first, which owns nothing and is
//! nobody's superuser: row level security holds for it.

use postgres::{Client, Transaction};

/// The role without a login.
pub const APP_ROLE: &str = "hookgate_app";

/// Two nodes that begin at once, in the words of an advisory lock ("hookgate", role).
const LOCK: i64 = 0x686b_6772_6f6c_6501;

/// Why the role cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// Whoever logs in may not make it, or not switch to it.
    #[error(
        "the database user {login} may not make or use the role {APP_ROLE}. Let an \
         administrator of the database run: CREATE ROLE {APP_ROLE} NOLOGIN; \
         GRANT {APP_ROLE} TO {login};"
    )]
    Forbidden {
        /// The user that logs in, quoted.
        login: String,
        /// What the server said.
        #[source]
        source: postgres::Error,
    },
    /// The role that is there may see everything.
    #[error(
        "the role {APP_ROLE} is a superuser or has BYPASSRLS, so tenants would not be kept \
         apart. Let an administrator run: ALTER ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS;"
    )]
    TooMighty,
    /// The server could not be asked.
    #[error("the roles of the database cannot be read")]
    Unreadable(#[source] postgres::Error),
}

/// Makes [`APP_ROLE`] if it is not there, and sees to it that this login may switch to it.
/// Safe when several nodes do so at once, and changes nothing the second time.
///
/// # Errors
///
/// A [`RoleError`]; `Forbidden` says which statements an administrator has to run.
pub fn ensure_role(client: &mut Client) -> Result<(), RoleError> {
    let mut transaction = client.transaction().map_err(RoleError::Unreadable)?;
    ensure_within(&mut transaction)?;
    transaction.commit().map_err(RoleError::Unreadable)
}

/// The same in a transaction, which may be rolled back.
pub(super) fn ensure_within(transaction: &mut Transaction<'_>) -> Result<(), RoleError> {
    let row = transaction
        .query_one("SELECT quote_ident(current_user), pg_advisory_xact_lock($1)::text", &[&LOCK])
        .map_err(RoleError::Unreadable)?;
    let login: String = row.get(0);
    let found = transaction
        .query_opt("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = $1", &[&APP_ROLE])
        .map_err(RoleError::Unreadable)?;
    let forbidden = |source| RoleError::Forbidden { login: login.clone(), source };
    match found {
        Some(row) if row.get(0) => return Err(RoleError::TooMighty),
        Some(_) => {}
        None => {
            let statement = format!("CREATE ROLE {APP_ROLE} NOLOGIN");
            transaction.batch_execute(&statement).map_err(forbidden)?;
        }
    }
    // Membership has shades (since PostgreSQL 16 also one without the right to switch), so
    // the switch itself is tried.
    let switch = format!("SAVEPOINT tried; SET LOCAL ROLE {APP_ROLE}; ROLLBACK TO tried");
    if transaction.batch_execute(&switch).is_err() {
        let grant = format!("ROLLBACK TO tried; GRANT {APP_ROLE} TO {login}; {switch}");
        transaction.batch_execute(&grant).map_err(forbidden)?;
    }
    Ok(())
}
