//! What a write is known by: its effect, and the keys that are derived of it.

use hookgate_core::digest::sha256;
use hookgate_core::tenant::TenantId;

/// Digits of a derived key: 160 bits, and short enough for every service.
const KEY_DIGITS: usize = 40;

/// A wish within a conversation, as a digest. The same wish has the same effect; it holds
/// nothing of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Effect(pub(crate) [u8; 32]);

/// Whose wish it is and where it was said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) source: &'a str,
    pub(crate) conversation: Option<&'a str>,
    pub(crate) tool: &'a str,
}

impl Effect {
    /// The effect of a wish, which `business_key` tells from others of its kind.
    pub(crate) fn of(scene: Scene<'_>, business_key: &str) -> Self {
        let parts = [
            scene.tenant.as_str(),
            scene.source,
            scene.conversation.unwrap_or_default(),
            scene.tool,
            business_key,
        ];
        let mut text = Vec::new();
        for part in parts {
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Self(sha256(&text))
    }

    /// The idempotency key under which a service is asked for it. A later generation is
    /// another wish; the clock has no say in it, so that a repetition has the same key.
    pub(crate) fn key(self, generation: u32) -> String {
        let mut text = self.0.to_vec();
        text.extend_from_slice(&generation.to_le_bytes());
        let digits = hex::encode(sha256(&text));
        format!("hg-{}", digits.get(..KEY_DIGITS).unwrap_or(&digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_scene_makes_another_effect() {
        let (acme, other) = (TenantId::parse("acme").unwrap(), TenantId::parse("other").unwrap());
        let scene = Scene { tenant: &acme, source: "retell", conversation: Some("c"), tool: "t" };
        let effect = Effect::of(scene, "k");
        assert_eq!(effect, Effect::of(scene, "k"));
        let others = [
            Effect::of(Scene { tenant: &other, ..scene }, "k"),
            Effect::of(Scene { source: "vapi", ..scene }, "k"),
            Effect::of(Scene { conversation: Some("d"), ..scene }, "k"),
            Effect::of(Scene { conversation: None, ..scene }, "k"),
            Effect::of(Scene { tool: "u", ..scene }, "k"),
            Effect::of(scene, "l"),
            Effect::of(Scene { source: "retellc", conversation: None, ..scene }, "k"),
        ];
        assert!(others.iter().all(|it| *it != effect));
    }

    #[test]
    fn a_generation_has_a_key_of_its_own_and_always_the_same() {
        let effect = Effect([1; 32]);
        assert_eq!(effect.key(1), effect.key(1));
        assert_ne!(effect.key(1), effect.key(2));
        assert_eq!(effect.key(1).len(), 43);
    }
}
