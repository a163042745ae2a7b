//! What nodes tell each other has changed.

/// What has changed. Its name is the payload of a notification on [`CHANNEL`], and most have a
/// row in `versions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Tenants, keys, tokens, sources, settings of tools.
    Registry,
    /// Whose ids are.
    Bindings,
    /// Where events are passed on to.
    Destinations,
    /// A delivery has become due. It has no version: who missed it finds it a little later.
    Deliveries,
}

/// The channel of all notifications.
pub(crate) const CHANNEL: &str = "hookgate";

impl Topic {
    pub(crate) const ALL: [Self; 4] =
        [Self::Registry, Self::Bindings, Self::Destinations, Self::Deliveries];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Bindings => "bindings",
            Self::Destinations => "destinations",
            Self::Deliveries => "deliveries",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub(super) const fn has_version(self) -> bool {
        !matches!(self, Self::Deliveries)
    }
}
