//! What somebody else said, a channel or a person, inside of a sentence of ours.

/// Their words without the full stop at their end: the sentence goes on, or has one of its own.
pub fn said(words: &str) -> &str {
    words.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_stop_is_the_sentences_own() {
        let words = ["no answer.", "no answer", "wait 1.5 s. ", "why?", "and so on ...", ". "];
        assert_eq!(words.map(said), ["no answer", "no answer", "wait 1.5 s", "why?", "and so on", ""]);
    }
}
