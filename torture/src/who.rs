//! The processes of the service that there are, by name.

/// Two of each role, for of relays and projectors one stands by; health does next to nothing.
pub const NAMES: [&str; 11] = [
    "api-1",
    "api-2",
    "intake-1",
    "intake-2",
    "dispatcher-1",
    "dispatcher-2",
    "relay-1",
    "relay-2",
    "projector-1",
    "projector-2",
    "health-1",
];

/// One of `NAMES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who(pub usize);

impl Who {
    /// Everybody.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NAMES.len()).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES[self.0]
    }

    /// Its role.
    pub fn role(self) -> &'static str {
        self.name().split('-').next().unwrap_or_default()
    }
}
