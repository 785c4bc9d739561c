//! The channel as it truly is: what stands at each of its listings, and creations that are still on their way there.

use std::collections::BTreeMap;

/// What each section holds, most urgent first; the same number is the same content.
pub type Content = [u8; 4];

/// A section that a payload does not have, or that was never written.
pub const NONE: u8 = 0;
/// Part of one content and part of another.
const MIXED: u8 = 99;
/// A call that nobody hears of any more may still arrive for so many seconds.
const LONGEST_WAY_S: i64 = 25;

/// The channel.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    listings: BTreeMap<u32, Content>,
    /// The listings that were created and carry our reference.
    pub ours: Vec<u32>,
    /// Creations on their way, and until when they may arrive.
    pub on_the_way: Vec<(Content, i64)>,
}

impl Channel {
    /// A creation without an answer: it is there at once, or on its way.
    pub fn creation_lost(&mut self, content: Content, at_once: bool, now: i64) {
        if at_once {
            self.create(content);
        } else {
            self.on_the_way.push((content, now + LONGEST_WAY_S));
        }
    }

    /// Makes a listing; nights are not in that call.
    pub fn create(&mut self, content: Content) -> u32 {
        let id = 600 + u32::try_from(self.ours.len()).expect("few listings");
        self.ours.push(id);
        self.listings.insert(id, [NONE, NONE, content[2], content[3]]);
        id
    }

    /// One that was on its way arrives.
    pub fn arrive(&mut self) {
        if let Some((content, _)) = self.on_the_way.pop() {
            self.create(content);
        }
    }

    pub fn forget_what_cannot_arrive(&mut self, now: i64) {
        self.on_the_way.retain(|(_, until)| now <= *until);
    }

    pub fn write(&mut self, id: u32, sections: &[usize], content: Content) {
        let listing = self.listings.entry(id).or_default();
        sections.iter().for_each(|section| listing[*section] = content[*section]);
    }

    /// A part of the sections went in, the rest was refused. What is there already stays as it is.
    pub fn write_partly(&mut self, id: u32, sections: &[usize], content: Content) {
        let listing = self.listings.entry(id).or_default();
        for section in sections {
            if listing[*section] != content[*section] {
                listing[*section] = MIXED;
            }
        }
    }

    /// Whether the listing is as it should be, in every section that the payload has.
    pub fn shows(&self, id: u32, wanted: Content) -> bool {
        let is = self.listings.get(&id).copied().unwrap_or_default();
        wanted.iter().zip(is).all(|(wanted, is)| *wanted == NONE || *wanted == is)
    }
}
