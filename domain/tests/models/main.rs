//! Random commands against plain models of the aggregates, written from what is promised and not from their code.

mod listing;
mod listing_channel;
mod listing_model;
mod listing_worker;
mod target;
mod target_model;
