//! Answers of a database in memory, in two generations: when the young one is full it
//! becomes the old one, and what is asked of the old one moves to the young.

use std::collections::HashMap;

/// Answers in one cache at most. An installation's bindings and the conversations of an
/// hour fit; with the longest ids there are, it is some 40 MB.
pub const ENTRIES_MAX: usize = 65_536;

/// What a database said: something, or that there is nothing.
pub(super) type Answer<V> = Option<V>;

/// A cache. Its answers stand on shelves, by what they are about, and under an id there.
#[derive(Debug)]
pub(super) struct Cache<V> {
    young: Generation<V>,
    old: Generation<V>,
    /// So many in each generation.
    generation_max: usize,
}

#[derive(Debug)]
struct Generation<V> {
    shelves: Vec<HashMap<Box<str>, Answer<V>>>,
    len: usize,
}

impl<V> Generation<V> {
    fn new(shelves: usize) -> Self {
        Self { shelves: (0..shelves).map(|_| HashMap::new()).collect(), len: 0 }
    }

    fn get(&self, about: usize, id: &str) -> Option<&Answer<V>> {
        self.shelves.get(about)?.get(id)
    }

    fn take(&mut self, about: usize, id: &str) -> Option<(Box<str>, Answer<V>)> {
        let taken = self.shelves.get_mut(about)?.remove_entry(id)?;
        self.len = self.len.saturating_sub(1);
        Some(taken)
    }

    fn put(&mut self, about: usize, id: Box<str>, answer: Answer<V>) {
        let Some(answers) = self.shelves.get_mut(about) else { return };
        if answers.insert(id, answer).is_none() {
            self.len = self.len.saturating_add(1);
        }
    }
}

impl<V: Clone> Cache<V> {
    /// A cache with so many shelves, of so many answers.
    pub(super) fn new(shelves: usize, entries_max: usize) -> Self {
        Self {
            young: Generation::new(shelves),
            old: Generation::new(shelves),
            generation_max: (entries_max / 2).max(1),
        }
    }

    /// The answer that is there, which may be "nobody's".
    pub(super) fn get(&mut self, about: usize, id: &str) -> Option<Answer<V>> {
        if let Some(answer) = self.young.get(about, id) {
            return Some(answer.clone());
        }
        let (id, answer) = self.old.take(about, id)?;
        self.put_young(about, id, answer.clone());
        Some(answer)
    }

    /// Keeps an answer.
    pub(super) fn put(&mut self, about: usize, id: &str, answer: Answer<V>) {
        self.old.take(about, id);
        self.put_young(about, id.into(), answer);
    }

    fn put_young(&mut self, about: usize, id: Box<str>, answer: Answer<V>) {
        if self.young.len >= self.generation_max {
            let shelves = self.young.shelves.len();
            self.old = std::mem::replace(&mut self.young, Generation::new(shelves));
            // It may be among those that have just become old, and is there once.
            self.old.take(about, &id);
        }
        self.young.put(about, id, answer);
    }

    /// Forgets an answer.
    pub(super) fn forget(&mut self, about: usize, id: &str) {
        self.young.take(about, id);
        self.old.take(about, id);
    }

    /// Forgets every answer that is about something.
    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        for generation in [&mut self.young, &mut self.old] {
            for answers in &mut generation.shelves {
                answers.retain(|_, answer| answer.as_ref().is_none_or(&keep));
            }
            generation.len = generation.shelves.iter().map(HashMap::len).sum();
        }
    }

    /// Every answer that is something: what it is about, the id, the answer.
    pub(super) fn known(&self) -> impl Iterator<Item = (usize, &str, &V)> {
        [&self.old, &self.young].into_iter().flat_map(|generation| {
            (0..).zip(&generation.shelves).flat_map(|(about, answers)| {
                answers.iter().filter_map(move |(id, it)| Some((about, &**id, it.as_ref()?)))
            })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.young.len.saturating_add(self.old.len)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may() {
        let mut cache = Cache::new(3, 100);
        for number in 0..10_000_usize {
            cache.put(number % 3, &number.to_string(), Some(number));
            let hot = cache.get(0, "0");
            assert!(number == 0 || cache.len() <= 100);
            assert_eq!(hot, Some(Some(0)), "what is asked stays");
        }
        assert!(cache.len() > 50, "{}", cache.len());
        assert_eq!(cache.get(1, "1"), None, "what nobody asks goes");
    }

    proptest! {
        #[test]
        fn an_answer_is_the_last_one_put_or_none(
            steps in proptest::collection::vec((0..5_u8, 0..3_usize, 0..12_u32), 1..400)
        ) {
            let mut cache = Cache::new(3, 8);
            let mut model: HashMap<(usize, u32), Option<u32>> = HashMap::new();
            for (number, (step, about, id)) in (0..).zip(steps) {
                let name = id.to_string();
                match step {
                    0 => {
                        cache.put(about, &name, None);
                        model.insert((about, id), None);
                    }
                    1 | 2 => {
                        cache.put(about, &name, Some(number));
                        model.insert((about, id), Some(number));
                    }
                    3 => {
                        cache.forget(about, &name);
                        model.remove(&(about, id));
                    }
                    _ => {
                        cache.retain(|it| it % 2 == 0);
                        model.retain(|_, it| it.is_none_or(|it| it % 2 == 0));
                    }
                }
                for ((about, id), answer) in &model {
                    if let Some(found) = cache.get(*about, &id.to_string()) {
                        prop_assert_eq!(&found, answer);
                    }
                }
                let counted: usize = [&cache.young, &cache.old]
                    .iter().flat_map(|it| &it.shelves).map(HashMap::len).sum();
                prop_assert_eq!(cache.len(), counted);
                prop_assert!(counted <= 8);
                for about in 0..3 {
                    for id in 0..12 {
                        if !model.contains_key(&(about, id)) {
                            prop_assert_eq!(cache.get(about, &id.to_string()), None);
                        }
                    }
                }
            }
        }
    }
}
