//! The seeds of a door, and inputs made from them by chance, go through it in every run of the tests, without a fuzzer.
//! `DOOR_INPUTS` says how many are made. A part of the tests of the packages that have doors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const INPUTS: usize = 3_000;
const LONGEST: usize = 64 * 1024;
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"{",
    b"}",
    b"[]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0.1e-7",
    b"1e309",
    b"18446744073709551615",
    b"\\u0000",
    b"\\ud800",
    b"\n\n",
    b".",
    b"--",
    b"%00",
    "\u{e9}".as_bytes(),
    "\u{202e}".as_bytes(),
];

/// Sends each seed and many variations of it through a door.
pub(crate) fn each(door: &str, through: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(door);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{door} has no seed");
    let inputs = std::env::var("DOOR_INPUTS").ok().map_or(INPUTS, |text| text.parse().unwrap());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ inputs as u64);
    let made = (0..inputs).map(|_| chance.vary(&seeds));
    for input in seeds.iter().cloned().chain(made) {
        let ended = catch_unwind(AssertUnwindSafe(|| through(&input)));
        assert!(ended.is_ok(), "{door} fails, keep this in fuzz/seeds/{door}: {}", input.escape_ascii());
    }
}

/// Numbers by chance, the same in every run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % most.max(1)
    }

    fn vary(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            let end = at + self.below((input.len() - at).min(40) + 1);
            match self.below(6) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = u8::try_from(self.below(256)).unwrap(),
                2 => drop(input.drain(at..end)),
                3 => {
                    let copy = input[at..end].to_vec();
                    input.splice(at..at, copy.repeat(1 + self.below(4)));
                }
                4 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    input.splice(at..end, other[from..other.len().min(from + 60)].iter().copied());
                }
                _ => drop(input.splice(at..end, PIECES[self.below(PIECES.len())].iter().copied())),
            }
        }
        input.truncate(LONGEST);
        input
    }
}
