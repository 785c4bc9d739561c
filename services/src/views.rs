//! What is told of targets, listings and syncs, in the one shape that the command line and the API both answer with. It is read from the
//! read models, and, for what these do not have, from the journal and the windows.

pub mod activity;
pub mod asked;
pub mod attempts;
pub mod audit;
pub mod by;
pub mod circuit;
pub mod earlier_link;
pub mod elsewhere;
pub mod explain;
pub mod fleet;
pub mod gone;
pub mod health;
pub mod history;
pub mod holds;
pub mod known;
pub mod lacking;
pub mod listings;
pub mod login;
pub mod moment;
pub mod next_attempt;
pub mod not_its_own;
pub mod not_taken;
pub mod older_state;
pub mod preview;
pub mod queue;
pub mod read_model_lag;
pub mod requests;
pub mod said;
pub mod service_levels;
pub mod staying;
pub mod targets;
pub mod unattended;
pub mod unit_letters;
pub mod visits;
pub mod windows;
