//! A running service, for commands that read what it makes. It is stopped at the end of the test.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

pub struct Service(Child);

impl Service {
    /// Starts some roles. Without a dispatcher nothing is called.
    pub fn start(world: &World, roles: &str) -> Self {
        Self::start_with_log(world, roles, Stdio::inherit())
    }

    /// The same with its log somewhere else.
    pub fn start_with_log(world: &World, roles: &str, log: impl Into<Stdio>) -> Self {
        let mut command = world.command();
        command.args(["serve", "--roles", roles, "--no-migrate"]).env("RUST_LOG", "warn");
        Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Looks again and again until there is something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
}
