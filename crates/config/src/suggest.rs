//! "Did you mean": the known word that is nearest to one that is not known.

/// What to write instead of `word`: the nearest of `known` if one is near, else all of them.
pub(crate) fn cure<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, &known) {
        return format!("did you mean `{near}`?");
    }
    match known.as_slice() {
        [] => "there are none".into(),
        [one] => format!("only `{one}` is known here"),
        all => format!("known here: {}", list(all)),
    }
}

/// The words in a row, in backquotes.
pub(crate) fn list(words: &[&str]) -> String {
    const MOST: usize = 24;
    let quoted: Vec<String> = words.iter().take(MOST).map(|w| format!("`{w}`")).collect();
    let more = if words.len() > MOST { ", …" } else { "" };
    format!("{}{more}", quoted.join(", "))
}

/// The one of `known` that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Longer words are no typing mistakes, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let far = (word.chars().count() / 3 + 1).min(3);
    known
        .iter()
        // The distance is at least the difference in length.
        .filter(|k| k.chars().count().abs_diff(word.chars().count()) <= far)
        .map(|k| (distance(word, k), *k))
        .filter(|(d, _)| *d <= far)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Changes, insertions, removals and swaps of neighbours that make one word of the other; a
/// different case or a dash for an underscore costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| -> Vec<char> {
        let plain = |c| if c == '-' { '_' } else { c };
        s.to_lowercase().chars().map(plain).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let swap = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let least = [
                last.get(j).map(|d| d + usize::from(x != y)),
                last.get(j + 1).map(|d| d + 1),
                row.get(j).map(|d| d + 1),
                swap.then(|| j.checked_sub(1).and_then(|j| before.get(j))).flatten().map(|d| d + 1),
            ];
            row.push(least.into_iter().flatten().min().unwrap_or(0));
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_listed() {
        let known = ["listeners", "clusters", "workers"];
        assert_eq!(cure("listner", known), "did you mean `listeners`?");
        assert_eq!(cure("Clusters", known), "did you mean `clusters`?");
        assert_eq!(cure("wrokers", known), "did you mean `workers`?");
        assert_eq!(cure("timeout", known), "known here: `listeners`, `clusters`, `workers`");
        assert_eq!(cure("x", []), "there are none");
        assert_eq!(cure("x", ["listen"]), "only `listen` is known here");
        assert_eq!(cure("idle-timeout", ["idle_timeout"]), "did you mean `idle_timeout`?");
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, d) in [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
