//! What is counted of tool calls: by tool and outcome, and how long each phase took. Tools of
//! tenants' own are counted together, so that nobody's names become labels.

use std::time::Duration;

use hookgate_store::{ToolCallState, ToolTimes};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The bounds of the histogram, in seconds: from an append to what a caller bears.
const SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 8.0, 30.0];

/// The label of tenants' own tools, and of those that nobody knows.
pub(crate) const OTHER: &str = "other";

type Labels = [(&'static str, &'static str); 2];

/// The counters. Clones share them.
#[derive(Clone, Debug)]
pub struct ToolMetrics {
    calls: Family<Labels, Counter>,
    late: Family<[(&'static str, &'static str); 1], Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    pub(crate) panics: Counter,
}

impl ToolMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            calls: Family::default(),
            late: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            panics: Counter::default(),
        };
        registry.register(
            "hookgate_tool_calls",
            "Tool calls by how they ended",
            metrics.calls.clone(),
        );
        registry.register(
            "hookgate_tool_calls_late",
            "Tool calls that ended after the caller was answered",
            metrics.late.clone(),
        );
        registry.register(
            "hookgate_tool_seconds",
            "Time of tool calls: storing the event, recording the call, waiting for the connector's \
             service, and the whole",
            metrics.seconds.clone(),
        );
        registry.register(
            "hookgate_tool_panics",
            "Tool calls that ended in a panic",
            metrics.panics.clone(),
        );
        metrics
    }

    /// Counts a call that has ended.
    pub(crate) fn ended(
        &self,
        tool: &'static str,
        state: ToolCallState,
        times: ToolTimes,
        is_late: bool,
    ) {
        self.calls.get_or_create(&[("tool", tool), ("outcome", state.name())]).inc();
        if is_late {
            self.late.get_or_create(&[("tool", tool)]).inc();
        }
        let phases = [
            ("store", times.store_us),
            ("record", times.record_us),
            ("connector", times.connector_us),
            ("total", times.total_us),
        ];
        for (phase, micros) in phases {
            let seconds = Duration::from_micros(micros).as_secs_f64();
            self.seconds.get_or_create(&[("tool", tool), ("phase", phase)]).observe(seconds);
        }
    }
}
