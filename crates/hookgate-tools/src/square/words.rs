//! Parts of sentences, in US English.

/// "A", "A and B", "A, B, and C".
pub(crate) fn listed(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} {last} {other}"),
        [first @ .., end] => format!("{}, {last} {end}", first.join(", ")),
    }
}

/// "30 minutes", "1 hour", "1 hour and 30 minutes".
pub(crate) fn duration(minutes: i64) -> String {
    let count = |number: i64, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts = [count(minutes / 60, "hour"), count(minutes % 60, "minute")];
    listed(&parts.into_iter().flatten().collect::<Vec<_>>(), "and")
}

/// "$35", "$35.50", "35 CAD".
pub(crate) fn price(cents: i64, currency: &str) -> String {
    // Some currencies have no cents, and some have more. Those are not spoken of.
    let number = match cents % 100 {
        0 => format!("{}", cents / 100),
        rest => format!("{}.{rest:02}", cents / 100),
    };
    if currency == "USD" { format!("${number}") } else { format!("{number} {currency}") }
}

/// Text of the shop's, short enough to be said, on one line.
pub(crate) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|it| !it.is_control()).collect();
    if text.chars().count() <= CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{}…", cut.trim_end())
}

/// For comparing names: in lower case, letters and digits, with single blanks.
pub(crate) fn even(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
