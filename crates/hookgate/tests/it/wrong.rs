//! What a user hears who wrote something wrong: the thing itself, and what to write.

use crate::bench::Bench;
use crate::tenants::run;

#[test]
fn a_mistyped_level_is_refused_instead_of_silencing_the_log() {
    let mut bench = Bench::new();
    let levels = "error, warn, info, debug, trace, off";
    for (level, fault) in [
        ("loud", "\"loud\" is no level"),
        ("", "\"\" is no level"),
        ("info,hookgate_ingres", "\"hookgate_ingres\" is no level"),
        ("info,hookgate_ingress=loud", "expected one of"),
    ] {
        bench.file("hookgate.toml", &format!("[log]\nlevel = \"{level}\"\n"));
        let ended = run(&bench, "serve --listen 127.0.0.1:0");
        assert_eq!(ended.code, 2, "{ended:?}");
        for text in ["[log] level", fault, levels] {
            assert!(ended.err.contains(text), "{text}: {ended:?}");
        }
        let doctor = run(&bench, "doctor");
        assert!(doctor.code == 1 && doctor.out.contains("FAIL  configuration"), "{doctor:?}");
    }
    bench.file("hookgate.toml", "[log]\nlevel = \"INFO,hookgate_ingress=debug\"\n");
    bench.serve(&[]).stop();
    bench.set("RUST_LOG", "infoo");
    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert!(ended.code == 2 && ended.err.contains("RUST_LOG = \"infoo\""), "{ended:?}");
}
