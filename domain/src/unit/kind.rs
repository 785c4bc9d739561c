//! The two closed vocabularies of a unit: what of it is let, and what a cancellation costs.

use std::str::FromStr;

use crate::text::quoted;

/// A word that is not in a closed vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not known; use one of {known}", quoted(.word))]
pub struct UnknownWord {
    /// The word that was met.
    pub word: String,
    /// The words that would be right.
    pub known: &'static str,
}

macro_rules! closed_vocabulary {
    ($(#[$doc:meta])* $name:ident, $known:literal, $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), known: $known }),
                }
            }
        }
    };
}

closed_vocabulary!(
    /// What of the unit a guest gets.
    RoomType,
    "entire_home, private_room, shared_room",
    /// The whole place.
    EntireHome = "entire_home",
    /// A room of one's own.
    PrivateRoom = "private_room",
    /// A bed in a shared room.
    SharedRoom = "shared_room",
);

closed_vocabulary!(
    /// What a cancellation costs, from lenient to hard.
    CancellationPolicy,
    "flexible, moderate, firm, strict, no_refund",
    /// Full refund until shortly before arrival.
    Flexible = "flexible",
    /// Full refund until some days before arrival.
    Moderate = "moderate",
    /// Full refund until weeks before arrival.
    Firm = "firm",
    /// Partial refund at best.
    Strict = "strict",
    /// No refund.
    NoRefund = "no_refund",
);
