//! What the help says. Small enough to be read.

use crate::bench::Bench;

#[test]
fn the_help_fits_a_screen() {
    let bench = Bench::new();
    insta::assert_snapshot!(bench.done(&["--help"]), @r"
    Receives the webhooks of voice agents and chat widgets: proves who sent them, stores them before it
    answers, and loses none

    Usage: hookgate <COMMAND>

    Commands:
      serve          Run the gateway
      init           Write .env with random secrets. Keeps what is there
      send           Sign a sample event as the provider does, and post it
      sign           Print the headers that prove a body
      verify         Judge a captured request offline, and say what is wrong with it
      events         List, show, follow, export and replay stored events
      listen         Pass live events on to a server on your own machine
      rejections     List and show refused requests, and judge them again
      tenant         Add, change and erase tenants, whose data must never meet
      binding        Say which ids of the providers are whose
      source         Add and remove sources and their URL tokens
      credential     Seal credentials of tenants
      key            Make keys with which tenants read their own data
      conversations  Show, register and erase calls, chats, threads and tickets
      violations     List proven requests that contradict ownership
      tools          Say what tenants' agents may do, and what platforms are told of it
      tool-calls     List and show what agents asked for, and what came of it
      recordings     List and save the recordings that are kept
      destination    Say where events are passed on to
      deliveries     List and show what was passed on, and try again what was not
      alerts         List what the gateway raised alerts about
      store          Check, rebuild and back up the store
      secret         Make secrets, and seal under another master key
      audit          Look for what a human should see: contradictions, weak proof, silence
      doctor         Check the set-up, and say what to paste into each dashboard
      dev            Run stand-ins of others' services, to try clients without an account
      help           Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit codes:
      0  done
      1  failed, or the answer is no (rejected, refused, a check failed)
      2  a flag, a variable or the configuration file is wrong
    ");
    insta::assert_snapshot!(bench.done(&["send", "--help"]), @r"
    Sign a sample event as the provider does, and post it

    Usage: hookgate send [OPTIONS] <PROVIDER>

    Arguments:
      <PROVIDER>  elevenlabs, retell, vapi, mightycall or tawk

    Options:
          --event <TYPE|tool:NAME>  Which sample: an event's type, or tool:NAME
          --to <URL>                Where to: a base URL, or the full one [HOOKGATE_URL; default this
                                    machine]
          --secret <SECRET>         Sign with this secret [default: the variable that serve reads]
          --secret-file <FILE>      Sign with the secret in this file
          --body <FILE>             Send exactly these bytes instead of a sample. `-` is standard input
          --scheme <NAME>           Sign under this scheme
          --tamper                  Change a byte after signing, to see the request refused (exit code
                                    1)
          --count <N>               Send so many events and print a summary [default: 1]
          --concurrency <C>         Send so many at once [default: 1]
      -h, --help                    Print help
    ");
}

#[test]
fn every_command_has_a_help() {
    let bench = Bench::new();
    for command in [
        "serve",
        "init",
        "send",
        "sign",
        "verify",
        "doctor",
        "events list",
        "events tail",
        "events export",
        "events show",
        "listen",
        "rejections list",
        "rejections show",
        "rejections retry",
        "store check",
        "store rebuild",
        "store backup",
        "store copy",
        "secret new",
        "secret rewrap",
        "events release",
        "events replay",
        "destination add",
        "destination list",
        "destination show",
        "destination set",
        "destination remove",
        "destination rotate",
        "destination test",
        "destination enable",
        "destination disable",
        "deliveries list",
        "deliveries show",
        "deliveries retry",
        "events reattribute",
        "tenant add",
        "tenant list",
        "tenant show",
        "tenant set",
        "tenant remove",
        "binding add",
        "binding import",
        "binding list",
        "binding remove",
        "source add",
        "source list",
        "source show",
        "source remove",
        "source token add",
        "source token list",
        "source token rotate",
        "source token remove",
        "credential set",
        "credential list",
        "credential remove",
        "key add",
        "key list",
        "key remove",
        "conversations list",
        "conversations show",
        "conversations register",
        "conversations rebuild",
        "conversations erase",
        "violations list",
        "tools show",
        "tools set",
        "recordings list",
        "recordings get",
        "tool-calls list",
        "tool-calls show",
        "audit",
        "dev square",
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let said = bench.done(&arguments);
        assert!(said.lines().count() <= 50, "{command}: {said}");
    }
    assert_eq!(bench.run(&[]).code, 2);
    assert_eq!(bench.run(&["nothing"]).code, 2);
}
