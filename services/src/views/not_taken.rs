//! What a channel did not take of what was sent last, as far as that is recorded: it answered with success and has something else.
//! To the journal the section is taken, so nothing is sent again for the same hash; people are told.

use domain::channel::RejectedPart;
use domain::counted::{agreeing, counted};
use domain::difference::{Differences, FieldDifference};
use domain::unit::Night;

/// What sends it again.
pub const SENDS_AGAIN: &str = "a sync that somebody asks for sends it again, and so does a change of its section";

/// A part with its value. One that is all of a section is named by that.
pub fn named(part: &RejectedPart) -> String {
    match part.value.as_str() {
        "" if part.is_all_of_it() => format!("{} ({})", part.part, part.section),
        "" => part.part.clone(),
        value => format!("{} ({value})", part.part),
    }
}

/// What became of a part of a sync, `is_refused` where the channel refused that for good: the mapping leaves out what it cannot send, whatever
/// the channel says of the rest, and of a sync that went on what the channel refused was left out, too.
pub fn became(part: &RejectedPart, is_refused: bool) -> &'static str {
    if is_refused && !part.is_of_the_unit() { REFUSED } else { LEFT_OUT }
}

const REFUSED: &str = "refused";
const LEFT_OUT: &str = "left out";

/// `2 parts are refused, 1 part is left out`; `verbs` are those of one and of several, each with a blank before it, or nothing.
pub fn counts(parts: &[RejectedPart], is_refused: bool, verbs: (&str, &str)) -> String {
    let of = |what: &str| {
        let count = parts.iter().filter(|part| became(part, is_refused) == what).count();
        (count > 0).then(|| format!("{}{} {what}", counted(count, "part"), agreeing(count, verbs.0, verbs.1)))
    };
    [REFUSED, LEFT_OUT].into_iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// A line for each part under one that says what they are; none where the channel took all.
pub fn words(parts: &[RejectedPart]) -> Vec<String> {
    let line = |part: &RejectedPart| format!("  {}: {}", named(part), part.reason);
    let heading = (!parts.is_empty()).then(|| "Of what was sent last the channel did not take:".to_owned());
    heading.into_iter().chain(parts.iter().map(line)).collect()
}

/// Says of each field that differs where the channel had not taken what it is compared with.
pub fn remark(parts: &[RejectedPart], differences: &mut Differences) {
    differences.remark(|field| {
        let part = parts.iter().find(|part| is_about(&part.part, field))?;
        let what = if part.part == field.path { String::new() } else { format!("{} ", part.part) };
        Some(format!("{what}not taken before: {}", part.reason))
    });
}

/// The field, one inside of it, or the same field of some of the nights.
fn is_about(part: &str, field: &FieldDifference) -> bool {
    if let (Some(nights), Some((first, last, name))) = (field.nights, nights_of(part)) {
        let same = field.path.split_once("].").is_some_and(|(_, own)| own == name);
        return same && first <= nights.last && nights.first <= last;
    }
    field.path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
}

/// `calendar[2030-01-01..2030-01-03].price`: the first and the last night, and the field.
fn nights_of(part: &str) -> Option<(Night, Night, &str)> {
    let (nights, field) = part.strip_prefix("calendar[")?.split_once("].")?;
    let (first, last) = nights.split_once("..")?;
    Some((first.parse().ok()?, last.parse().ok()?, field))
}

#[cfg(test)]
mod tests {
    use domain::channel::Section;
    use domain::difference::Nights;

    use super::*;

    fn part(part: &str, value: &str) -> RejectedPart {
        let reason = "not taken; it has 240".to_owned();
        RejectedPart { section: Section::Rates, part: part.to_owned(), value: value.to_owned(), reason }
    }

    #[test]
    fn each_part_is_a_line_with_its_words_and_nothing_is_none() {
        assert_eq!(words(&[]), [""; 0]);
        let parts = [part("listing.cleaningFee", "510"), part("listing.houseRules", "")];
        assert_eq!(
            words(&parts),
            [
                "Of what was sent last the channel did not take:",
                "  listing.cleaningFee (510): not taken; it has 240",
                "  listing.houseRules: not taken; it has 240",
            ]
        );
    }

    #[test]
    fn what_the_mapping_left_out_is_not_told_to_be_refused() {
        let parts = [part("listing", ""), part("unit.photos", ""), part("unit.amenities[0]", "")];
        let told = |is_refused| parts.each_ref().map(|part| became(part, is_refused));
        assert_eq!((told(true), told(false)), (["refused", "left out", "left out"], ["left out"; 3]));
        assert_eq!(counts(&parts, true, (" was", " were")), "1 part was refused, 2 parts were left out");
        assert_eq!(counts(&parts, false, (" is", " are")), "3 parts are left out");
        assert_eq!(counts(&parts[1..2], true, ("", "")), "1 part left out");
    }

    #[test]
    fn a_field_is_remarked_on_where_what_was_there_before_was_not_taken() {
        let night = |text: &str| text.parse::<Night>().expect("a night");
        let (first, last) = (night("2030-01-02"), night("2030-01-04"));
        let nights = Some(Nights { first, last, count: 3 });
        let of_nights = |name: &str| {
            let path = format!("calendar[2030-01-02..2030-01-04].{name}");
            FieldDifference { nights, ..FieldDifference::new(path, Some(510.into()), Some(520.into())) }
        };
        let of_listing = |path: &str| FieldDifference::new(path.to_owned(), Some(1.into()), Some(2.into()));
        let exactly = Some("not taken before: not taken; it has 240");
        let others = "calendar[2030-01-04..2030-01-09].price";
        let some = format!("{others} not taken before: not taken; it has 240");
        let earlier = "calendar[2029-12-01..2030-01-01].price";
        for (refused, field, told) in [
            ("calendar[2030-01-02..2030-01-04].price", of_nights("price"), exactly),
            (others, of_nights("price"), Some(some.as_str())),
            (earlier, of_nights("price"), None),
            (others, of_nights("minimumStay"), None),
            ("listing.cleaningFee", of_listing("listing.cleaningFee"), exactly),
            ("listing.cleaningFee", of_listing("listing.cleaningFeeOther"), None),
        ] {
            let mut differences = Differences::default();
            differences.add(Section::Rates, vec![field]);
            remark(&[part(refused, "510")], &mut differences);
            let field = &differences.sections[0].fields[0];
            assert_eq!(field.reason.as_deref(), told, "{refused} and {}", field.path);
            assert!(!field.expected && differences.unexpected() == 1, "it is sent, and is to change something");
        }
    }
}
