//! The rules of `ChannelListing`: given events, when a command, then events or a refusal; and random histories of
//! commands against what must hold after each of them.

mod creation;
mod fixture;
mod linking;
mod outcomes;
mod overtaken;
mod properties;
mod requests;
