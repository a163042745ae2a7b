//! The commands of the registry: tenants, and what is theirs.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::StoreText;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Print {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much of a list is printed, and how.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Listing {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether it is meant, and how long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Erasing {
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Follow it to its end.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number, or back to what holds without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// This.
    Number(u64),
    /// What holds for everybody.
    Default,
}

impl Setting {
    fn parse(text: &str, word: &str, max: u64) -> Result<Self, String> {
        if text == word {
            return Ok(Self::Default);
        }
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(Self::Number(number)),
            _ => Err(format!("a number from 1 to {max}, or `{word}`")),
        }
    }

    /// Days: a hundred years are for ever.
    fn days(text: &str) -> Result<Self, String> {
        Self::parse(text, "none", 36_500)
    }

    fn quota(text: &str) -> Result<Self, String> {
        Self::parse(text, "default", u64::from(u32::MAX))
    }

    fn large_quota(text: &str) -> Result<Self, String> {
        // What a JSON number holds in every language: 2^53 - 1.
        Self::parse(text, "default", (1 << 53) - 1)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Add a tenant: a customer whose data must never meet another's.
    Add {
        /// Its id: letters, digits, `.`, `_` and `-` [default: made up].
        id: Option<String>,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        print: Print,
    },
    /// List tenants, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one tenant.
    Show {
        /// The tenant's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Change how long a tenant's events are kept, and what it may use.
    Set {
        /// The tenant's id.
        id: String,
        #[command(flatten)]
        settings: TenantSettings,
        #[command(flatten)]
        print: Print,
    },
    /// Erase a tenant: its events, bindings, keys and credentials.
    Remove {
        /// The tenant's id.
        id: String,
        #[command(flatten)]
        erasing: Erasing,
    },
}

/// What of a tenant can be changed.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct TenantSettings {
    /// Erase its events after so many days, or `none`: keep them.
    #[arg(long, value_name = "N|none", value_parser = Setting::days)]
    pub(crate) retention_days: Option<Setting>,
    /// Events a second that it may send.
    #[arg(long, value_name = "N|default", value_parser = Setting::quota)]
    pub(crate) events_per_second: Option<Setting>,
    /// Bytes a second that it may send.
    #[arg(long, value_name = "N|default", value_parser = Setting::large_quota)]
    pub(crate) bytes_per_second: Option<Setting>,
    /// Requests of it that may be in flight.
    #[arg(long, value_name = "N|default", value_parser = Setting::quota)]
    pub(crate) in_flight: Option<Setting>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Binding {
    /// Bind ids of a provider to a tenant.
    Add {
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
        /// The provider.
        #[arg(long)]
        provider: String,
        /// agent (also Vapi's assistant), phone_number, integration, account, property or
        /// conversation.
        #[arg(long)]
        kind: String,
        /// The provider's ids.
        #[arg(value_name = "ID", required_unless_present = "key_file")]
        ids: Vec<String>,
        /// Bind the account whose API key is in this file. `-` is standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "ids")]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        print: Print,
    },
    /// Bind the ids of a file with a line `provider,kind,external_id` each, or the integrations
    /// that a receiver of MightyCall on Supabase left.
    Import {
        /// The tenant's id.
        #[arg(long, required_unless_present = "org_integrations")]
        tenant: Option<String>,
        /// The file. `-` is standard input.
        #[arg(value_name = "FILE.csv", required_unless_present = "org_integrations")]
        file: Option<PathBuf>,
        /// Bind each row of the table public.org_integrations to the tenant of its organisation,
        /// and make the tenants that are missing.
        #[arg(long, conflicts_with_all = ["tenant", "file"])]
        org_integrations: bool,
        /// The database that has the table; by default that of `HOOKGATE_STORE`.
        #[arg(long, value_name = "URL", requires = "org_integrations")]
        from: Option<StoreText>,
        /// Say what would be done, and change nothing.
        #[arg(long, requires = "org_integrations")]
        dry_run: bool,
        #[command(flatten)]
        print: Print,
    },
    /// List bindings, newest first.
    List {
        /// Of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Of this provider.
        #[arg(long)]
        provider: Option<String>,
        /// Of this kind.
        #[arg(long)]
        kind: Option<String>,
        /// Of this id.
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Take a binding away. It takes effect at once.
    Remove {
        /// The provider.
        #[arg(long)]
        provider: String,
        /// As in `binding add`.
        #[arg(long)]
        kind: String,
        /// The provider's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    /// Add a source, and print the URL to paste into the provider's dashboard.
    Add {
        /// Its name in paths and on events.
        name: String,
        #[command(flatten)]
        settings: SourceSettings,
        #[command(flatten)]
        print: Print,
    },
    /// List sources.
    List {
        #[command(flatten)]
        print: Print,
    },
    /// Show one source.
    Show {
        /// The source's name.
        name: String,
        #[command(flatten)]
        print: Print,
    },
    /// Remove a source and its URL tokens. Its events stay.
    Remove {
        /// The source's name.
        name: String,
        #[command(flatten)]
        print: Print,
    },
    /// The secret ends of a source's URLs.
    #[command(subcommand)]
    Token(SourceToken),
}

/// What a source is.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceSettings {
    /// elevenlabs, retell, vapi, mightycall or tawk.
    #[arg(long)]
    pub(crate) provider: String,
    /// All of its events are this tenant's.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Its secrets, separated by white space. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// auto, enforce or record [default auto].
    #[arg(long, value_name = "MODE")]
    pub(crate) verification: Option<String>,
    /// auto, observe or enforce [default auto].
    #[arg(long, value_name = "MODE")]
    pub(crate) ownership: Option<String>,
    /// Take no unregistered conversation in, whatever it names.
    #[arg(long)]
    pub(crate) no_adopt: bool,
    /// Accept this scheme; repeat it for several [default: the provider's].
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SourceToken {
    /// Make a URL token, and print the URL.
    Add {
        /// The source's name.
        name: String,
        /// What comes under this URL is this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        print: Print,
    },
    /// List a source's URL tokens.
    List {
        /// The source's name.
        name: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Make another URL, and let the old one work for a while.
    Rotate {
        /// The source's name.
        name: String,
        /// The token's id.
        id: String,
        /// How long the old one works: 90s, 30m, 24h, up to 30d.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        grace: String,
        #[command(flatten)]
        print: Print,
    },
    /// Take a URL token away, at once.
    Remove {
        /// The source's name.
        name: String,
        /// The token's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Credential {
    /// Seal a credential of a tenant: JSON or text, from a file or standard input.
    Set {
        /// The tenant's id.
        tenant: String,
        /// Its name, as in `square`.
        name: String,
        /// Where it is [default: standard input].
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        print: Print,
    },
    /// List a tenant's credentials. Values are never shown.
    List {
        /// The tenant's id.
        tenant: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Remove a credential.
    Remove {
        /// The tenant's id.
        tenant: String,
        /// Its name.
        name: String,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key that reads a tenant's data, and print it once.
    Add {
        /// The tenant's id.
        tenant: String,
        #[command(flatten)]
        print: Print,
    },
    /// List a tenant's keys.
    List {
        /// The tenant's id.
        tenant: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Remove a key, at once.
    Remove {
        /// The tenant's id.
        tenant: String,
        /// The key's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
}

/// Which conversations.
#[derive(Debug, Args)]
pub(crate) struct WhichConversations {
    /// Of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Over this channel: phone, web, chat, sms, ticket or report.
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// In this status: the provider's word, or ongoing, ended or failed.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// With the agent of this id or name.
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// With this telephone number on either side, in any spelling; its last digits are enough.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) number: Option<String>,
    /// That began then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// That began before then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// With all of these words in what was said or written; book* finds what begins so.
    #[arg(short, long, value_name = "WORDS")]
    pub(crate) q: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Conversations {
    /// List conversations, newest first.
    List {
        #[command(flatten)]
        which: WhichConversations,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show whose a conversation is, what its events tell, its timeline and its transcript.
    Show {
        /// The provider.
        provider: String,
        /// The provider's id of the call, chat, thread or ticket.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Say whose a conversation is, before its first event.
    Register {
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
        /// The provider.
        #[arg(long)]
        provider: String,
        /// The provider's id of the call, chat, thread or ticket.
        id: String,
        /// The agent that it is with.
        #[arg(long, value_name = "ID")]
        agent: Option<String>,
        /// The phone number that it is on.
        #[arg(long, value_name = "ID")]
        phone_number: Option<String>,
        #[command(flatten)]
        print: Print,
    },
    /// Make what events tell of conversations anew. Without a running gateway: at its next
    /// start.
    Rebuild {
        #[command(flatten)]
        print: Print,
    },
    /// Erase a conversation and its events.
    Erase {
        /// The provider.
        provider: String,
        /// The provider's id.
        id: String,
        #[command(flatten)]
        erasing: Erasing,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Violations {
    /// List proven requests that contradict ownership, newest first.
    List {
        /// In which this tenant is named.
        #[arg(long)]
        tenant: Option<String>,
        /// Of this source.
        #[arg(long)]
        source: Option<String>,
        /// Of this provider.
        #[arg(long)]
        provider: Option<String>,
        /// Received then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 2h.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Received before then.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing needs a human, 1 something does, 2 a flag is wrong")]
pub(crate) struct Audit {
    /// Look at what came then or later: 2026-11-22, or as long ago as 24h, 7d.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) since: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
