//! What stands around the place where two texts differ. Both are cut at the same places, so that what they have in common is the same on
//! both sides, and what they have not is seen, however far from their beginning it stands.

use std::fmt;

use crate::text::cut;

/// A word that differs in its middle is told as a whole. A longer one is not: it could be cut before the letter that differs.
const LONGEST_WORD: usize = 15;

/// One of two texts, as it is shown beside the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// What both have before the place where they differ.
    pub head: String,
    /// What this one has there; the other one has something else, or nothing.
    pub own: String,
    /// What both have behind it.
    pub tail: String,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.head, self.own, self.tail)
    }
}

/// Two texts that differ, each in some `longest` characters around the place, with a mark where more stands; the whole of them where both
/// are that short.
pub fn excerpts(before: &str, after: &str, longest: usize) -> [Excerpt; 2] {
    let apart = Apart::of(before, after);
    let is_whole = before.chars().count().max(after.chars().count()) <= longest;
    let [head, own, tail] = if is_whole { [usize::MAX; 3] } else { apart.room(longest) };
    [apart.before, apart.after].map(|side| Excerpt {
        head: end_of(apart.head, head),
        own: cut(side, own),
        tail: cut(apart.tail, tail),
    })
}

/// The last characters of a text, and a mark where there were more. U+0000 is left out, as it is of the other parts by [`cut`].
fn end_of(text: &str, longest: usize) -> String {
    let characters = || text.chars().filter(|character| *character != '\0');
    let left_out = characters().count().saturating_sub(longest);
    let kept: String = characters().skip(left_out).collect();
    if left_out == 0 { kept } else { format!("…{kept}") }
}

/// Two texts in their parts.
struct Apart<'a> {
    head: &'a str,
    before: &'a str,
    after: &'a str,
    tail: &'a str,
}

impl<'a> Apart<'a> {
    fn of(before: &'a str, after: &'a str) -> Self {
        let same = alike(before.chars(), after.chars());
        let in_word = [before, after].iter().any(|text| text[same..].starts_with(char::is_alphanumeric));
        let begun = if in_word { word(before[..same].chars().rev()) } else { 0 };
        let (head, before) = before.split_at(same - begun);
        let after = &after[head.len()..];
        let same = alike(before.chars().rev(), after.chars().rev());
        let in_word = [before, after].iter().any(|text| text[..text.len() - same].ends_with(char::is_alphanumeric));
        let tail = &before[before.len() - same..];
        let tail = &tail[if in_word { word(tail.chars()) } else { 0 }..];
        let own = |text: &'a str| &text[..text.len() - tail.len()];
        Self { head, before: own(before), after: own(after), tail }
    }

    /// How many characters of head, own part and tail are shown. What differs has half of the room at the most, so that both sides have
    /// as much around it; what one part does not need is another's.
    fn room(&self, longest: usize) -> [usize; 3] {
        let count = |text: &str| text.chars().count();
        let own = count(self.before).max(count(self.after)).min(longest / 2);
        let around = longest - own;
        let head = count(self.head).min((around / 2).max(around.saturating_sub(count(self.tail))));
        [head, own, around - head]
    }
}

/// How many bytes the characters have that are the same on both sides, before the first that is not.
fn alike(one: impl Iterator<Item = char>, other: impl Iterator<Item = char>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum()
}

/// How many bytes the word has that these characters begin with; none of one that is long.
fn word(characters: impl Iterator<Item = char>) -> usize {
    let letters = characters.take_while(|character| character.is_alphanumeric()).take(LONGEST_WORD + 1);
    let letters: Vec<usize> = letters.map(char::len_utf8).collect();
    if letters.len() > LONGEST_WORD { 0 } else { letters.iter().sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(before: &str, after: &str, longest: usize) -> [[String; 3]; 2] {
        excerpts(before, after, longest).map(|Excerpt { head, own, tail }| [head, own, tail])
    }

    #[test]
    fn words_that_differ_stand_between_what_is_the_same() {
        for (before, after, head, own, tail) in [
            ("To the beach.", "To the beach. A step.", "To the beach.", ["", " A step."], ""),
            ("No parties, please", "No pets, please", "No ", ["parties", "pets"], ", please"),
            ("pool", "pools", "", ["pool", "pools"], ""),
            ("a big pool", "a pool", "a ", ["big ", ""], "pool"),
            ("Ruhe ab 22 Uhr, größer", "Ruhe ab 21 Uhr, größer", "Ruhe ab ", ["22", "21"], " Uhr, größer"),
            ("", "new", "", ["", "new"], ""),
        ] {
            let wanted = own.map(|own| [head, own, tail].map(str::to_owned));
            assert_eq!(parts(before, after, 80), wanted, "{before:?}, {after:?}");
        }
    }

    #[test]
    fn both_sides_are_seen_to_differ_wherever_that_is_and_are_no_longer_than_is_asked_for() {
        let filling = |count: usize| "Wörter über Wörter. ".chars().cycle().take(count).collect::<String>();
        for at in [0, 1, 79, 80, 81, 299, 300, 2_000] {
            for behind in [0, 1, 500] {
                for (one, other) in [("", "more"), ("x", "y"), (&*filling(400), "short"), (&*"ab".repeat(90), "abz")] {
                    let text = |own: &str| format!("{} {own} {}", filling(at), filling(behind));
                    let (before, after) = (text(one), text(other));
                    for longest in [80, 300] {
                        let shown = excerpts(&before, &after, longest);
                        let [was, is] = shown.each_ref().map(ToString::to_string);
                        assert_ne!(was, is, "{at}, {behind}");
                        assert!(shown[0].own != shown[1].own && shown[0].head == shown[1].head, "{shown:?}");
                        // A mark on each side, and one where what differs is long.
                        assert!([&was, &is].iter().all(|text| text.chars().count() <= longest + 3), "{shown:?}");
                    }
                    let whole = excerpts(&before, &after, usize::MAX).map(|text| text.to_string());
                    assert_eq!(whole, [before, after]);
                }
            }
        }
    }

    #[test]
    fn what_postgres_cannot_store_is_in_no_part() {
        let [was, is] = excerpts("a\0 b\0 c\0", "a\0 d\0 c\0", 80).map(|text| text.to_string());
        assert_eq!([was, is], ["a b c", "a d c"]);
    }

    #[test]
    fn what_one_part_does_not_need_is_anothers() {
        let (long, end) = ("w ".repeat(200), "to the beach.");
        let shown = excerpts(&format!("{long}{end}"), &format!("{long}{end} A step."), 40);
        let [was, is] = shown.map(|text| text.to_string());
        assert_eq!(was, "… w w w w w w w w w to the beach.");
        assert_eq!(is, "… w w w w w w w w w to the beach. A step.");
    }
}
