//! The architecture rules.
fn main() {}
