//! What the doctor found, and what to paste where.

use serde_json::{Value, json};

use crate::config::{Config, SourceConfig};
use crate::exit::Outcome;
use crate::output::line;

/// Findings in order, and the sources.
#[derive(Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    sources: Vec<Paste>,
}

struct Finding {
    grade: Grade,
    about: String,
    text: String,
    advice: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Pass,
    Warn,
    Fail,
}

impl Grade {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// What to set in a platform's dashboard.
struct Paste {
    source: String,
    title: &'static str,
    url: String,
    tools: Vec<String>,
    dashboard: &'static str,
}

impl Report {
    /// All is well.
    pub(super) fn pass(&mut self, about: &str, text: String) {
        self.add(Grade::Pass, about, text, None);
    }

    /// It works, and should be better.
    pub(super) fn warn(&mut self, about: &str, text: String, advice: impl Into<String>) {
        self.add(Grade::Warn, about, text, Some(advice.into()));
    }

    /// It does not work, or is not safe.
    pub(super) fn fail(&mut self, about: &str, text: String, advice: impl Into<String>) {
        self.add(Grade::Fail, about, text, Some(advice.into()));
    }

    fn add(&mut self, grade: Grade, about: &str, text: String, advice: Option<String>) {
        self.findings.push(Finding { grade, about: about.to_owned(), text, advice });
    }

    /// What it says, a line each.
    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<String> {
        let one = |it: &Finding| format!("{} {}: {}", it.grade.name(), it.about, it.text);
        self.findings.iter().map(one).collect()
    }

    /// Notes what to paste for each source.
    pub(super) fn sources(&mut self, config: &Config) {
        let base = config.base_url(config.listen);
        self.sources = config.sources.iter().map(|it| Paste::of(it, &base)).collect();
    }

    /// Prints it. Refused if something failed.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<Outcome> {
        let failed = self.findings.iter().filter(|it| it.grade == Grade::Fail).count();
        let warned = self.findings.iter().filter(|it| it.grade == Grade::Warn).count();
        if as_json {
            line(json!({
                "failed": failed,
                "warned": warned,
                "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
                "sources": self.sources.iter().map(Paste::json).collect::<Vec<_>>(),
            }))?;
        } else {
            self.print_text()?;
            line(match (failed, warned) {
                (0, 0) => "All is well.".to_owned(),
                (0, warned) => format!("Works; {warned} to look at."),
                (failed, _) => format!("{failed} to mend."),
            })?;
        }
        Ok(if failed == 0 { Outcome::Done } else { Outcome::Refused })
    }

    fn print_text(&self) -> anyhow::Result<()> {
        for finding in &self.findings {
            line(format_args!("{}  {}: {}", finding.grade.name(), finding.about, finding.text))?;
            if let Some(advice) = &finding.advice {
                line(format_args!("      -> {advice}"))?;
            }
        }
        line("")?;
        for source in &self.sources {
            line(format_args!("{} ({})", source.title, source.source))?;
            line(format_args!("  {}", source.url))?;
            line(format_args!("  {}", source.dashboard))?;
            for tool in &source.tools {
                line(format_args!("  tool: {tool}"))?;
            }
            line("")?;
        }
        Ok(())
    }
}

impl Finding {
    fn json(&self) -> Value {
        json!({
            "grade": self.grade.name().to_ascii_lowercase(),
            "about": self.about,
            "text": self.text,
            "advice": self.advice,
        })
    }
}

impl Paste {
    fn of(config: &SourceConfig, base: &str) -> Self {
        let source = &config.source;
        let provider = source.provider;
        let is_built_in = source.name == provider.name;
        let built_in = provider.paths.first().filter(|_| is_built_in).map(|it| (*it).to_owned());
        let path = built_in.or_else(|| config.paths.first().cloned());
        let path = path.unwrap_or_else(|| format!("/in/{}", source.name));
        let tools = if is_built_in { provider.tool_paths } else { &[] };
        Self {
            source: source.name.clone(),
            title: provider.title,
            url: format!("{base}{path}"),
            tools: tools.iter().map(|(path, tool)| format!("{tool} {base}{path}")).collect(),
            dashboard: provider.dashboard,
        }
    }

    fn json(&self) -> Value {
        json!({
            "source": self.source,
            "url": self.url,
            "tools": self.tools,
            "dashboard": self.dashboard,
        })
    }
}
