//! Names, descriptions and house rules, in English and for most villas in German as well.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::place::Place;
use super::{one_of, some};

/// What the texts of one villa are made of.
pub(super) struct Style {
    name: String,
    area: &'static str,
    bedrooms: u32,
    sights: Vec<&'static str>,
    /// Whether there are German texts.
    german: bool,
}

/// English and German of one paragraph; `{}` are replaced by name, area, bedrooms and sights.
type Pair = (&'static str, &'static str);

const OPENINGS: [Pair; 4] = [
    (
        "{name} stands at the end of a quiet lane in {area}. {rooms} bedrooms, each with a door to the garden, are set \
         around a pool that has the sun until the evening.",
        "{name} liegt am Ende eines ruhigen Weges. {rooms} Schlafzimmer, jedes mit einer Tür zum Garten, gruppieren sich \
         um einen Pool, der bis zum Abend in der Sonne liegt.",
    ),
    (
        "An old house with new bathrooms: {name} was rebuilt by a family from {area} who still live next door. There are \
         {rooms} bedrooms under beams of local wood, and walls thick enough for a cool afternoon.",
        "Ein altes Haus mit neuen Bädern: {name} wurde von einer Familie umgebaut, die noch nebenan wohnt. {rooms} \
         Schlafzimmer unter Balken aus hiesigem Holz, und Mauern, die den Nachmittag kühl halten.",
    ),
    (
        "{name} was made for long tables. The kitchen is open to the terrace, the terrace to the pool, and all {rooms} \
         bedrooms are upstairs, where it is quiet. {area} begins at the gate.",
        "{name} ist für lange Tafeln gebaut. Die Küche öffnet sich zur Terrasse, die Terrasse zum Pool, und alle {rooms} \
         Schlafzimmer liegen oben, wo es ruhig ist.",
    ),
    (
        "Light, shade and water: {name} is an architect's house in {area} with {rooms} bedrooms, a pool of twelve metres \
         and a roof terrace from which you see the weather coming.",
        "Licht, Schatten und Wasser: {name} ist ein Architektenhaus mit {rooms} Schlafzimmern, einem Pool von zwölf \
         Metern und einer Dachterrasse, von der man das Wetter kommen sieht.",
    ),
];

const MIDDLES: [Pair; 3] = [
    (
        "Within half an hour there are {first} and {second}. We leave a map with the places that we would show to friends.",
        "In einer halben Stunde erreichen Sie {first} und {second}. Wir legen eine Karte mit den Orten bereit, die wir \
         Freunden zeigen würden.",
    ),
    (
        "Mornings belong to {first}, afternoons to the pool. Those who want more drive to {second} and are back for dinner.",
        "Der Morgen gehört {first}, der Nachmittag dem Pool. Wer mehr will, fährt zu {second} und ist zum Essen zurück.",
    ),
    (
        "You need a car for {first}; for bread, coffee and {second} you do not.",
        "Für {first} brauchen Sie ein Auto; für Brot, Kaffee und {second} nicht.",
    ),
];

const SERVICES: [Pair; 4] = [
    (
        "The house is cleaned before you come and once a week; linen and towels are changed then as well.",
        "Das Haus wird vor Ihrer Ankunft und einmal in der Woche geputzt; dabei werden Wäsche und Handtücher gewechselt.",
    ),
    (
        "A cook can come on two evenings a week. Tell us a day ahead what you like, and what you cannot eat.",
        "Zwei Abende in der Woche kann eine Köchin kommen. Sagen Sie uns einen Tag vorher, was Sie mögen.",
    ),
    (
        "Wifi reaches the pool, the desk upstairs has a screen, and the power is backed up by a battery.",
        "Das WLAN reicht bis zum Pool, oben steht ein Schreibtisch mit Bildschirm, und eine Batterie sichert den Strom.",
    ),
    (
        "Families are welcome: there is a cot, a high chair, a gate for the stairs and a fence that closes off the pool.",
        "Familien sind willkommen: Kinderbett, Hochstuhl, Treppengitter und ein Zaun um den Pool sind da.",
    ),
];

const RULES: [Pair; 4] = [
    ("No parties. Quiet after 22:00.", "Keine Feiern. Ruhe ab 22 Uhr."),
    (
        "No smoking inside. Please rinse off before the pool.",
        "Im Haus wird nicht geraucht. Bitte vor dem Pool duschen.",
    ),
    ("Pets by arrangement. Shoes stay at the door.", "Haustiere nach Absprache. Schuhe bleiben an der Tür."),
    ("Only registered guests stay overnight.", "Nur angemeldete Gäste übernachten."),
];

impl Style {
    pub(super) fn of(place: &'static Place, name: &str, bedrooms: u32, rng: &mut StdRng) -> Self {
        let sights = some(&place.sights, 2, rng);
        Self { name: name.to_owned(), area: place.area, bedrooms, sights, german: rng.random_bool(0.6) }
    }

    pub(super) fn names(&self) -> Value {
        self.both(&self.name, &self.name)
    }

    pub(super) fn summary(&self) -> Value {
        let (rooms, area, sight) = (self.bedrooms, self.area, self.sights[0]);
        self.both(
            &format!("A house with {rooms} bedrooms and a pool in {area}, near {sight}."),
            &format!("Ein Haus mit {rooms} Schlafzimmern und Pool."),
        )
    }

    /// Two to four paragraphs.
    pub(super) fn description(&self, rng: &mut StdRng) -> Value {
        let mut paragraphs: Vec<Pair> = vec![one_of(&OPENINGS, rng), one_of(&MIDDLES, rng)];
        let services = rng.random_range(0..=2);
        paragraphs.extend(some(&SERVICES, services, rng));
        let text = |half: fn(&Pair) -> &'static str| {
            paragraphs.iter().map(|pair| self.filled(half(pair))).collect::<Vec<_>>().join("\n\n")
        };
        self.both(&text(|pair| pair.0), &text(|pair| pair.1))
    }

    pub(super) fn house_rules(&self, rng: &mut StdRng) -> Value {
        let (english, german) = one_of(&RULES, rng);
        self.both(english, german)
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{name}", &self.name)
            .replace("{area}", self.area)
            .replace("{rooms}", &self.bedrooms.to_string())
            .replace("{first}", self.sights[0])
            .replace("{second}", self.sights[1])
    }

    fn both(&self, english: &str, german: &str) -> Value {
        if self.german { json!({ "en": english, "de": german }) } else { json!({ "en": english }) }
    }
}
