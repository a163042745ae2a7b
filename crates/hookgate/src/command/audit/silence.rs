//! Sources from which nothing comes any more: a provider may have turned its webhook off.

use hookgate_core::alert::{QUIET, RHYTHM_EVENTS_MAX, Rhythm, span};
use hookgate_core::time::Timestamp;
use hookgate_store::{EventFilter, Order};
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::sources::SourceFacts;
use crate::stored::{List, Stored, Walk};

/// When the latest proven events of a source came. What nobody proved may
/// come from anybody, so it is no sign of life.
pub(super) async fn times(stored: &Stored, source: &str) -> anyhow::Result<Vec<Timestamp>> {
    let filter = EventFilter { source: Some(source.to_owned()), ..EventFilter::default() };
    let mut walk = Walk::new(List::Events(filter), Order::NewestFirst);
    let events = walk.take(stored, RHYTHM_EVENTS_MAX).await?;
    let time = |event: &Value| {
        let is_proven = event.pointer("/verification/verdict")?.as_str()? == "verified";
        let at = Timestamp::parse(event.get("received_at")?.as_str()?)?;
        is_proven.then_some(at)
    };
    Ok(events.iter().filter_map(time).collect())
}

/// Whether a source has gone silent, or never spoke.
pub(super) fn judge(source: &SourceFacts, times: &[Timestamp], now: Timestamp) -> Option<Finding> {
    let Some(rhythm) = Rhythm::of(times.to_vec()) else { return never(source) };
    let longest = rhythm.longest?;
    rhythm.silence(now, QUIET).map(|silence| {
        let what = format!(
            "silent for {}; the longest pause among its latest {} events was {}",
            span(silence),
            rhythm.events,
            span(longest)
        );
        let advice = "see whether the platform turned the webhook off or its URL changed: ElevenLabs \
                      does so by itself after failures; `hookgate doctor` prints the URL to paste";
        Finding::of_source(Severity::Human, "silent", &source.name, what, advice)
            .shown_by([format!("the last one came at {}", rhythm.last)])
    })
}

fn never(source: &SourceFacts) -> Option<Finding> {
    source.is_set_up().then(|| {
        let what = "it is set up, and nothing proven ever came";
        let advice = "paste its URL into the provider's dashboard: `hookgate doctor` prints it, and that \
                      with a token was shown when it was made; `hookgate send` tries it out";
        Finding::of_source(Severity::Note, "silent", &source.name, what, advice)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A source whose events came these hours ago.
    fn silent(hours_ago: &[i64]) -> Option<String> {
        let source =
            json!({"name": "vapi", "provider": "vapi", "verification": "enforce", "secrets": 1});
        let source: SourceFacts = serde_json::from_value(source).unwrap();
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let at = |hours: &i64| Timestamp::from_millis(now.millis() - hours * HOUR);
        judge(&source, &hours_ago.iter().map(at).collect::<Vec<_>>(), now).map(|it| it.what)
    }

    #[test]
    fn a_source_is_silent_by_its_own_rhythm() {
        let hourly: Vec<i64> = (13..33).collect();
        assert_eq!(
            silent(&hourly).unwrap(),
            "silent for 13 h 0 min; the longest pause among its latest 20 events was 1 h 0 min"
        );
        // A night is no silence, nor is a weekend for one that has weekends.
        assert_eq!(silent(&(11..40).collect::<Vec<_>>()), None);
        let weekly: Vec<i64> = (0..12).map(|it| 100 + it * 48).collect();
        assert_eq!(silent(&weekly), None);
        assert!(silent(&weekly.iter().map(|it| it + 50).collect::<Vec<_>>()).is_some());
        // Too few for a rhythm.
        assert_eq!(silent(&[500, 501, 502]), None);
        assert_eq!(silent(&[]).unwrap(), "it is set up, and nothing proven ever came");
    }
}
