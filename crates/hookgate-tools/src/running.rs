//! What is under way in this process: the same wish twice at once is carried out once, and
//! both hear how it ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::effect::Effect;
use crate::work::End;

/// How those ended who were first, by what they do.
type Ends = HashMap<Effect, watch::Receiver<Option<End>>>;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Running(Arc<Mutex<Ends>>);

/// A place beside others with the same wish.
pub(crate) enum Place {
    /// Nobody else is at it.
    First(First),
    /// Somebody is.
    Behind(Behind),
}

/// Whoever carries a wish out. When it is dropped without a word, the next one is first.
pub(crate) struct First {
    ends: Arc<Mutex<Ends>>,
    effect: Effect,
    told: watch::Sender<Option<End>>,
}

/// Whoever waits for it.
pub(crate) struct Behind(watch::Receiver<Option<End>>);

impl Running {
    /// Takes a place.
    pub(crate) fn enter(&self, effect: Effect) -> Place {
        let mut ends = lock(&self.0);
        if let Some(end) = ends.get(&effect) {
            return Place::Behind(Behind(end.clone()));
        }
        let (told, end) = watch::channel(None);
        ends.insert(effect, end);
        Place::First(First { ends: Arc::clone(&self.0), effect, told })
    }
}

impl First {
    /// Tells everybody behind.
    pub(crate) fn tell(self, end: &End) {
        self.told.send_replace(Some(end.clone()));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        lock(&self.ends).remove(&self.effect);
    }
}

impl Behind {
    /// How it ended; nothing if nobody can say.
    pub(crate) async fn end(mut self) -> Option<End> {
        let end = self.0.wait_for(Option::is_some).await.ok()?;
        end.clone()
    }
}

/// Also after a panic elsewhere: the map is whole at each step.
fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use hookgate_core::tool::Reply;

    use super::*;

    const EFFECT: Effect = Effect([7; 32]);

    #[tokio::test]
    async fn who_comes_second_hears_how_the_first_ended() {
        let running = Running::default();
        let (Place::First(first), Place::Behind(behind)) =
            (running.enter(EFFECT), running.enter(EFFECT))
        else {
            panic!("the first is first, and the second is behind it");
        };
        let end = End::Done(Reply::done("done", "It is done."));
        first.tell(&end);
        assert_eq!(behind.end().await, Some(end));
        assert!(matches!(running.enter(EFFECT), Place::First(_)), "it is over");
    }

    #[tokio::test]
    async fn when_the_first_is_gone_without_a_word_the_next_one_is_first() {
        let running = Running::default();
        let (Place::First(first), Place::Behind(behind)) =
            (running.enter(EFFECT), running.enter(EFFECT))
        else {
            panic!("the first is first, and the second is behind it");
        };
        drop(first);
        assert_eq!(behind.end().await, None);
        assert!(matches!(running.enter(EFFECT), Place::First(_)));
    }

    #[test]
    fn other_wishes_are_not_in_the_way() {
        let running = Running::default();
        let first = running.enter(EFFECT);
        assert!(matches!(running.enter(Effect([8; 32])), Place::First(_)));
        drop(first);
    }
}
