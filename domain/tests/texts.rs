//! Texts from outside: what is cut, and what passes as a trace context.

use std::borrow::Cow;

use domain::channel::ChannelKind;
use domain::text::{LONGEST_LINE, LONGEST_TRACEPARENT, NoLine, cut, line, steady, traceparent};

#[test]
fn a_text_is_cut_between_characters_and_loses_its_nuls() {
    assert_eq!(cut("naïve", 5), "naïve");
    assert_eq!(cut("naïve", 3), "naï…");
    assert_eq!(cut("\0a\0b\0", 2), "ab");
}

#[test]
fn a_steady_text_moves_no_cursor_and_turns_no_line() {
    let moving =
        "a\u{1b}[2J\tb\r\nc\u{7}\u{7f}\u{9b}\u{85}\0 \u{200e}\u{200f}\u{61c}\u{202a}\u{202e}\u{2066}\u{2069}é\u{200d}";
    assert_eq!(steady(moving), "a[2J\tb \nc  é\u{200d}");
    assert_eq!(steady("a\u{200b}b\u{2060}c\u{feff}d\u{ad}e\u{2028}f\u{e0041}g\u{3164}h"), "abcde fgh");
}

#[test]
fn a_line_of_peoples_words_has_nothing_that_nobody_sees_and_something_that_everybody_does() {
    assert_eq!(line("  roof works \n", LONGEST_LINE), Ok("roof works"));
    // Words of scripts that join letters, and emoji, are words.
    for word in [
        "می\u{200c}خواهم",
        "क्\u{200d}ष",
        "👩\u{200d}🔧",
        "✔\u{fe0f}",
        "Ünïcode 東京",
        "⠃⠗⠁⠊⠇⠇⠑",
        "\u{fffd}",
        "\u{20000}",
    ] {
        assert_eq!(line(word, LONGEST_LINE), Ok(word));
    }
    for unseen in [
        '\u{202e}',
        '\u{2066}',
        '\u{200e}',
        '\u{61c}',
        '\u{200b}',
        '\u{2060}',
        '\u{feff}',
        '\u{ad}',
        '\u{e0041}',
        // A blank of Braille, for private use, and no characters at all.
        '\u{2800}',
        '\u{e000}',
        '\u{f8ff}',
        '\u{f0000}',
        '\u{10fffd}',
        '\u{fdd0}',
        '\u{fdef}',
        '\u{fffe}',
        '\u{ffff}',
        '\u{1fffe}',
        '\u{effff}',
        '\0',
        '\u{1b}',
        '\u{9b}',
    ] {
        assert_eq!(line(&format!("a{unseen}b"), LONGEST_LINE), Err(NoLine::Unseen(unseen)));
    }
    assert_eq!(NoLine::Unseen('\u{202e}').to_string(), "the character U+202E cannot be seen; leave it out");
    for none in ["", "  ", "\u{200d}\u{fe0f}", "a\nb", "a\u{2028}b", "abcd"] {
        assert_eq!(line(none, 3), Err(NoLine::Form { longest: 3 }), "{none:?}");
    }
}

#[test]
fn only_a_well_formed_traceparent_passes() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(traceparent(good).as_deref(), Some(good));
    let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
    let long = "0".repeat(900_000);
    let bad = [
        "",
        "00",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        &zero_trace,
        &zero_parent,
        &long,
    ];
    for text in bad {
        assert_eq!(traceparent(text), None, "{text:.60}");
    }
}

/// Whoever already speaks a later version keeps the trace.
#[test]
fn a_traceparent_of_a_later_version_is_taken_as_what_is_known_of_it() {
    let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    for (version, rest, flags) in
        [("01", "01", "01"), ("cc", "03-what-the.future is:like", "01"), ("fe", "fe", "00"), ("0a", "00-", "00")]
    {
        let taken = traceparent(&format!("{version}-{ids}-{rest}")).map(Cow::into_owned);
        assert_eq!(taken, Some(format!("00-{ids}-{flags}")), "{version} {rest}");
    }
    let long = format!("01-{ids}-01-{}", "x".repeat(LONGEST_TRACEPARENT));
    for bad in [
        &format!("ff-{ids}-01"),
        &format!("1-{ids}-01"),
        &format!("0A-{ids}-01"),
        &format!("01-{ids}"),
        &format!("01-{ids}-1"),
        &format!("01-{ids}-011"),
        &format!("01-{ids}-01.more"),
        &format!("01-{ids}-01ü"),
        &format!("01-{}-b7ad6b7169203331-01", "0".repeat(32)),
        &long,
    ] {
        assert_eq!(traceparent(bad), None, "{bad:.60}");
    }
}

/// Of a kind that is added, no compiler asks for its way back.
#[test]
fn every_kind_of_channel_is_read_back_from_its_text() {
    for kind in ChannelKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str(), "events name it as rows do");
    }
    assert!("nowhere".parse::<ChannelKind>().is_err());
}
