//! What a URL says, and what is shown of it.

use hookgate_store::{PgSettings, PgUrlError, is_url};

fn shown(url: &str) -> String {
    PgSettings::parse(url).map_or_else(|error| format!("error: {error}"), |it| it.to_string())
}

#[test]
fn a_url_is_read_as_libpq_reads_it() {
    let table = [
        ("postgres://me@db.example.com/hooks", "db.example.com:5432, database \"hooks\""),
        ("postgresql://me:pw@db:6000/hooks", "db:6000, database \"hooks\""),
        ("postgres://me@db/", "db:5432, database \"me\""),
        ("postgres://me@[::1]:99/x", "[::1]:99, database \"x\""),
        ("postgres://me@%2Frun%2Fpg:99/x", "/run/pg/.s.PGSQL.99, database \"x\""),
        ("postgres:///x?host=/run/pg&user=me", "/run/pg/.s.PGSQL.5432, database \"x\""),
        ("postgres:///x", "/var/run/postgresql/.s.PGSQL.5432, database \"x\""),
        ("postgres://me@a:1,b:2/x", "a:1,b:2, database \"x\""),
        ("postgres://me@a,b/x?port=7", "a:7,b:7, database \"x\""),
        ("postgres://a?dbname=d&user=u&port=7&connect_timeout=3", "a:7, database \"d\""),
        ("POSTGRES://a/d?options=-c%20geqo%3Doff&application_name=x", "a:5432, database \"d\""),
        (
            "postgresql://postgres.abcdefgh:pw@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
            "aws-0-eu-central-1.pooler.supabase.com:5432, database \"postgres\"",
        ),
    ];
    for (url, expected) in table {
        assert_eq!(shown(url), format!("PostgreSQL at {expected}"), "{url}");
    }
    assert!(is_url("postgres://x") && is_url("PostgreSQL://x"));
    assert!(!is_url("hookgate.data") && !is_url("mysql://x") && !is_url("postgres:x"));
}

#[test]
fn a_url_that_cannot_be_meant_is_refused_with_what_to_write() {
    let table = [
        ("mysql://a/b", "begin with postgres://"),
        ("postgres://me:pw@db:port/x", "host or port"),
        ("postgres://me:pw@db:0/x", "host or port"),
        ("postgres://me:pw@db:70000/x", "host or port"),
        ("postgres://me@[zz]/x", "host or port"),
        ("postgres://me@d b/x", "%40"),
        ("postgres://me@d%00/x", "%40"),
        ("postgres://me:p%zz@db/x", "% as %25"),
        ("postgres://me:100%@db/x", "% as %25"),
        ("postgres://db/x?user=me&password=p%2", "% as %25"),
        ("postgres://me@db/x?sslmode=allow", "sslmode must be disable, prefer"),
        ("postgres://me@db/x?sslrootcert=", "PEM file"),
        ("postgres://me@db/x?sslcert=a.pem", "parameter sslcert is not understood"),
        ("postgres://me@db/x?connect_timeout=0", "connect_timeout must be"),
        ("postgres://me@db/x?channel_binding=yes", "channel_binding must be"),
        ("postgres://me@db/x?target_session_attrs=standby", "read-write"),
        ("postgres://postgres:[YOUR-PASSWORD]@db.abc.supabase.co:5432/postgres", "placeholder"),
        ("postgres://me@db/x?pgbouncer=true", "session"),
        ("postgres://postgres.abc:pw@aws-0-eu.pooler.supabase.com:6543/postgres", "port 5432"),
        ("postgres://postgres:pw@db.abc.supabase.co:6543/postgres", "port 5432"),
        ("postgres://postgres:pw@aws-0-eu.pooler.supabase.com:5432/postgres", "postgres.PROJECT"),
    ];
    for (url, expected) in table {
        let shown = shown(url);
        assert!(shown.starts_with("error: ") && shown.contains(expected), "{url} gives {shown}");
    }
    // Elsewhere that port is a port.
    assert_eq!(shown("postgres://me@db:6543/x"), "PostgreSQL at db:6543, database \"x\"");
}

#[test]
fn no_piece_of_a_password_is_shown_wherever_it_was_written() {
    // A password with each character that means something in a URL, not encoded.
    let passwords = [
        "xyzzyplugh",
        "xyzzy@plugh",
        "xyzzy/plugh",
        "xyzzy?plugh",
        "xyzzy#plugh",
        "xyzzy:plugh",
        "12/xyzzy@plugh",
        "12?xyzzy@plugh",
        "xyzzy@plugh/x",
        "xyzzy&plugh",
        "xyzzy%plugh",
        "xyzzy@plugh:1",
        "1@xyzzy@plugh",
        "@xyzzyplugh",
        "12#xyzzyplugh",
        "1?xyzzyplugh=plugh",
        "xyzzy=plugh",
        "xyzzy,plugh",
        "[xyzzyplugh",
    ];
    for password in passwords {
        for url in [
            format!("postgres://me:{password}@db.example.com:5432/hooks"),
            format!("postgres://me:{password}@db.example.com"),
            format!("postgres://db.example.com/hooks?user=me&password={password}"),
            format!("postgres://db.example.com/hooks?passwort={password}"),
        ] {
            let parsed = PgSettings::parse(&url);
            let shown = match &parsed {
                Ok(settings) => format!("{settings} {settings:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("xyzzy") && !shown.contains("plugh"), "{url} shows {shown}");
        }
    }
    let given = PgSettings::parse("postgres://me@db/x").unwrap().or_password("xyzzyplugh");
    assert!(!format!("{given:?} {given} {given:#?}").contains("xyzzyplugh"));
}

#[test]
fn a_misplaced_password_is_an_error_and_not_a_host() {
    for url in ["postgres://me:12/34@db/x", "postgres://me:12?34@db/x", "postgres://me:1@2@db/x"] {
        assert_eq!(PgSettings::parse(url).unwrap_err(), PgUrlError::Encoding, "{url}");
    }
}
