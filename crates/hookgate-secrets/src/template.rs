//! Templates: under which name a secret store knows a tenant's credential.
//!
//! A store's names have fewer letters than ours, so two credentials may come out under one
//! name: `acme` and `eu-square`, `acme-eu` and `square`. A template therefore also says who
//! else could be meant; see `Owners` in `owners.rs`.

/// The longest template, in bytes. What is put in comes to some hundred more.
const TEMPLATE_BYTES_MAX: usize = 256;

/// Which letters a store's names have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Paths: ids stand as they are.
    Path,
    /// Variables: capitals, digits and `_`, which stands for all else.
    Variable,
    /// Azure Key Vault: letters of either case, which it does not tell apart, digits and
    /// `-`, which stands for all else.
    KeyVault,
}

/// What a name is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A tenant's credential: `{tenant}` and `{name}`.
    Credential,
    /// All settings of one agent: `{agent_id}`.
    Agent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Tenant,
    Name,
    Agent,
}

/// A template that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    alphabet: Alphabet,
}

impl Template {
    /// Reads a template, or says what is wrong with it.
    pub(crate) fn parse(text: &str, kind: Kind, alphabet: Alphabet) -> Result<Self, &'static str> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err("is longer than 256 bytes");
        }
        let parts = split(text)?;
        let count = |part: &Part| parts.iter().filter(|it| *it == part).count();
        match (kind, count(&Part::Tenant), count(&Part::Name), count(&Part::Agent)) {
            (Kind::Credential, 1, 1, 0) | (Kind::Agent, 0, 0, 1) => {}
            (Kind::Credential, ..) => return Err("must hold {tenant} and {name} once each"),
            (Kind::Agent, ..) => return Err("must hold {agent_id} once, and no other"),
        }
        let mut pairs = parts.iter().zip(parts.iter().skip(1));
        if pairs.any(|(one, next)| !matches!(one, Part::Text(_)) && !matches!(next, Part::Text(_)))
        {
            return Err("needs something between {tenant} and {name}");
        }
        let texts = parts.iter().filter_map(|it| match it {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        alphabet.check(texts)?;
        let template = Self { parts, alphabet };
        if alphabet == Alphabet::Path && !is_path(&template.render("a", "a")) {
            return Err("must be a path without a `/` at its ends, `//`, `.` and `..`");
        }
        Ok(template)
    }

    /// The name of a tenant's credential; for an agent's settings `name` is the agent's id.
    pub(crate) fn render(&self, tenant: &str, name: &str) -> String {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Tenant => self.alphabet.write(tenant, &mut rendered),
                Part::Name | Part::Agent => self.alphabet.write(name, &mut rendered),
            }
        }
        rendered
    }

    /// Whether two credentials of two tenants never come out under one name.
    pub(crate) fn tells_tenants_apart(&self) -> bool {
        let parts: Vec<_> = self.parts.iter().filter(|it| **it != Part::Agent).collect();
        let holds_slash = |it: &Part| matches!(it, Part::Text(text) if text.contains('/'));
        let between = parts.windows(3).any(|window| match window {
            [one, text, other] => {
                !matches!(one, Part::Text(_))
                    && holds_slash(text)
                    && !matches!(other, Part::Text(_))
            }
            _ => false,
        });
        self.alphabet == Alphabet::Path && between
    }

    /// Whether `rendered` could be a credential of `tenant`, under whatever name.
    pub(crate) fn could_be_of(&self, tenant: &str, rendered: &str) -> bool {
        self.middle(tenant, rendered).is_some()
    }

    /// The ids of agents that come out as `rendered`, among those of [`Self::takes_agent`].
    pub(crate) fn agents(&self, rendered: &str) -> Vec<String> {
        let Some(middle) = self.middle("", rendered) else { return Vec::new() };
        if self.alphabet == Alphabet::Path {
            return vec![middle.to_owned()];
        }
        let low = middle.to_ascii_lowercase();
        let with = |separator: &str| low.replace(['-', '_', '.'], separator);
        let mut ids = vec![with("-"), with("_"), with(".")];
        ids.dedup();
        ids
    }

    /// Whether the id of an agent can be told from all others that come out like it: where
    /// letters are lost, it has small ones and one kind of separator.
    pub(crate) fn takes_agent(&self, id: &str) -> bool {
        if self.alphabet == Alphabet::Path {
            return true;
        }
        let separators = ["-", "_", "."].into_iter().filter(|it| id.contains(*it)).count();
        separators <= 1 && !id.bytes().any(|it| it.is_ascii_uppercase())
    }

    /// What stands for the name or the agent in `rendered`, if it is of `tenant`.
    fn middle<'a>(&self, tenant: &str, rendered: &'a str) -> Option<&'a str> {
        let open = self.parts.iter().position(|it| matches!(it, Part::Name | Part::Agent))?;
        let (before, after) = (self.parts.get(..open)?, self.parts.get(open.saturating_add(1)..)?);
        let of = |parts: &[Part]| {
            let parts = parts.to_vec();
            Self { parts, alphabet: self.alphabet }.render(tenant, "")
        };
        let (before, after) = (of(before), of(after));
        let fold = |text: &str| match self.alphabet {
            Alphabet::KeyVault => text.to_ascii_lowercase(),
            Alphabet::Path | Alphabet::Variable => text.to_owned(),
        };
        let end = rendered.len().checked_sub(after.len())?;
        let (head, tail) = rendered.split_at_checked(end)?;
        let (head, middle) = head.split_at_checked(before.len())?;
        let fits = fold(head) == fold(&before) && fold(tail) == fold(&after);
        let is_one = !middle.is_empty() && !middle.contains('/');
        (fits && is_one).then_some(middle)
    }
}

impl Alphabet {
    fn write(self, id: &str, out: &mut String) {
        let letters = id.chars().map(|it| match self {
            Self::Path => it,
            Self::Variable if it.is_ascii_alphanumeric() => it.to_ascii_uppercase(),
            Self::Variable => '_',
            Self::KeyVault if it.is_ascii_alphanumeric() => it,
            Self::KeyVault => '-',
        });
        out.extend(letters);
    }

    fn check<'a>(self, mut texts: impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
        let fits = |it: u8| match self {
            Self::Path => it.is_ascii_alphanumeric() || b"._-/".contains(&it),
            Self::Variable => it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_',
            Self::KeyVault => it.is_ascii_alphanumeric() || it == b'-',
        };
        if texts.all(|text| text.bytes().all(fits)) {
            return Ok(());
        }
        Err(match self {
            Self::Path => "may hold letters, digits, `.`, `_`, `-` and `/`",
            Self::Variable => "may hold capital letters, digits and `_`",
            Self::KeyVault => "may hold letters, digits and `-`",
        })
    }
}

fn is_path(text: &str) -> bool {
    text.split('/').all(|it| !matches!(it, "" | "." | ".."))
}

fn split(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (word, behind) = behind.split_once('}').ok_or("has a `{` without its `}`")?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match word.to_ascii_lowercase().as_str() {
            "tenant" => Part::Tenant,
            "name" => Part::Name,
            "agent_id" => Part::Agent,
            _ => return Err("knows {tenant}, {name} and {agent_id} only"),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(text: &str, alphabet: Alphabet) -> Template {
        Template::parse(text, Kind::Credential, alphabet).unwrap()
    }

    #[test]
    fn a_template_is_filled_in_with_the_letters_of_its_store() {
        let rows = [
            (Alphabet::Path, "{tenant}/{name}", "acme-eu.x/square"),
            (Alphabet::Path, "hookgate/{name}/of/{tenant}", "hookgate/square/of/acme-eu.x"),
            (
                Alphabet::Variable,
                "HOOKGATE_CREDENTIAL_{TENANT}_{NAME}",
                "HOOKGATE_CREDENTIAL_ACME_EU_X_SQUARE",
            ),
            (Alphabet::KeyVault, "{tenant}-{name}", "acme-eu-x-square"),
        ];
        for (alphabet, text, expected) in rows {
            assert_eq!(credential(text, alphabet).render("acme-eu.x", "square"), expected);
        }
        let agent = Template::parse("agent-{agent_id}", Kind::Agent, Alphabet::KeyVault).unwrap();
        assert_eq!(agent.render("", "agent_0a1b"), "agent-agent-0a1b");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        use Alphabet::{KeyVault, Path, Variable};
        let rows = [
            (Kind::Credential, Path, "{tenant}"),
            (Kind::Credential, Path, "{name}"),
            (Kind::Credential, Path, "{tenant}{name}"),
            (Kind::Credential, Path, "{tenant}/{name}/{name}"),
            (Kind::Credential, Path, "{tenant}/{name}/{agent_id}"),
            (Kind::Credential, Path, "{tenant}/{nam}"),
            (Kind::Credential, Path, "{tenant}/{name"),
            (Kind::Credential, Path, "/{tenant}/{name}"),
            (Kind::Credential, Path, "{tenant}//{name}"),
            (Kind::Credential, Path, "../{tenant}/{name}"),
            (Kind::Credential, Path, "{tenant}/{name}/."),
            (Kind::Credential, Path, "{tenant}/{name}?version=1"),
            (Kind::Credential, Path, "{tenant}/%2e/{name}"),
            (Kind::Credential, Variable, "credential_{tenant}_{name}"),
            (Kind::Credential, KeyVault, "{tenant}_{name}"),
            (Kind::Agent, KeyVault, "{tenant}-{agent_id}"),
            (Kind::Agent, KeyVault, "agent"),
        ];
        for (kind, alphabet, text) in rows {
            assert!(Template::parse(text, kind, alphabet).is_err(), "{text}");
        }
        let long = format!("{}{{tenant}}/{{name}}", "a".repeat(TEMPLATE_BYTES_MAX));
        assert!(Template::parse(&long, Kind::Credential, Path).is_err());
    }

    #[test]
    fn a_name_tells_who_else_could_be_meant() {
        let template = credential("{tenant}-{name}", Alphabet::KeyVault);
        let rendered = template.render("acme", "eu-square");
        for other in ["acme", "acme-eu", "ACME", "Acme.EU"] {
            assert!(template.could_be_of(other, &rendered), "{other}");
        }
        for other in ["acme-eu-square", "acm", "other", "acme-e"] {
            assert!(!template.could_be_of(other, &rendered), "{other}");
        }
        let variable = credential("X_{TENANT}_{NAME}_Y", Alphabet::Variable);
        assert!(variable.could_be_of("a-b", &variable.render("a", "b_c")));
        assert!(!variable.could_be_of("b", &variable.render("a", "b_c")));
        assert!(!template.tells_tenants_apart() && !variable.tells_tenants_apart());
        let path = credential("{tenant}/{name}", Alphabet::Path);
        assert!(path.tells_tenants_apart() && !path.could_be_of("acm", "acme/square"));
        assert!(!credential("{tenant}-{name}", Alphabet::Path).tells_tenants_apart());
        assert!(!credential("x/{tenant}-{name}/y", Alphabet::Path).tells_tenants_apart());
    }

    #[test]
    fn the_agents_behind_a_name_are_few_and_known() {
        let vault = Template::parse("agent-{agent_id}", Kind::Agent, Alphabet::KeyVault).unwrap();
        let ids = vault.agents("agent-agent-0a1b");
        assert_eq!(ids, ["agent-0a1b", "agent_0a1b", "agent.0a1b"]);
        for id in &ids {
            assert!(vault.takes_agent(id) && vault.render("", id) == "agent-agent-0a1b");
        }
        assert!(!vault.takes_agent("agent_0a-1b") && !vault.takes_agent("Agent_0a"));
        assert_eq!(vault.agents("other-0a1b"), Vec::<String>::new());
        let path = Template::parse("agents/{agent_id}", Kind::Agent, Alphabet::Path).unwrap();
        assert_eq!(path.agents("agents/A_b-c"), ["A_b-c"]);
        assert_eq!(path.agents("agents/a/b"), Vec::<String>::new());
    }
}
