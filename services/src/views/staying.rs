//! What a sync tells nothing of, so that it stays at the channel as it is, in plain words; and why its section is sent all the same.

use domain::counted::agreeing;
use domain::difference::Differences;
use domain::difference::staying::Staying;

/// A line for each section of which something stays, and one for those that are sent though no field of them differs. `for_hash` are the
/// sections that are sent because their hashes differ.
pub fn words(stays: &[Staying], differences: &Differences, for_hash: &[&str]) -> Vec<String> {
    let differs = |section: &str| differences.sections.iter().any(|differing| differing.section.as_str() == section);
    let sections = stays.iter().map(|staying| staying.section.as_str());
    let alike: Vec<&str> = sections.filter(|section| for_hash.contains(section) && !differs(section)).collect();
    let all_the_same = (!alike.is_empty()).then(|| {
        let go = agreeing(alike.len(), "goes", "go");
        format!(
            "{} {go} out all the same: a section is sent when its hash differs, and that is of all it tells",
            alike.join(", ")
        )
    });
    stays.iter().map(Staying::to_string).chain(all_the_same).collect()
}

#[cfg(test)]
mod tests {
    use domain::channel::Section;
    use domain::difference::FieldDifference;
    use domain::unit::{Night, NightRange};

    use super::*;

    #[test]
    fn what_stays_is_a_line_for_each_section_and_so_is_why_it_is_sent() {
        let night = |text: &str| text.parse::<Night>().expect("a night");
        let nights = [NightRange::new(night("2030-01-06"), night("2030-01-10")).expect("nights")];
        let both = [Section::Availability, Section::Rates];
        let stays: Vec<Staying> = both.iter().filter_map(|section| Staying::nights(*section, &nights)).collect();
        let told = |differences: &Differences, for_hash: &[&str]| words(&stays, differences, for_hash).split_off(2);
        let all = ["availability", "rates", "content"];
        let why = "out all the same: a section is sent when its hash differs, and that is of all it tells";
        let mut found = Differences::default();
        assert_eq!(told(&found, &[]), [""; 0], "nothing is sent, or all of it in any case");
        assert_eq!(told(&found, &all), [format!("availability, rates go {why}")]);
        found.add(Section::Rates, vec![FieldDifference::new("a field".to_owned(), None, Some(1.into()))]);
        assert_eq!(told(&found, &all), [format!("availability goes {why}")]);
        assert_eq!(words(&[], &found, &all), [""; 0]);
    }
}
