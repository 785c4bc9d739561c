//! A small disk of a server's own, so that it can be full for that server alone.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Tools;

const FILLER: &str = "filler";
const PIECE: usize = 1024 * 1024;

/// A mounted file system; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one at a folder that is there. An error says why there can be none.
    pub(super) fn mount(tools: &Tools, folder: &Path, megabytes: usize) -> anyhow::Result<Self> {
        // Nothing may be left of it where this process is killed.
        ensure!(tools.is_apart(), "no mount namespace of its own, which `dev/torture` makes as root");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "torture"]).arg(folder).output()?;
        ensure!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr).trim());
        Ok(Self { folder: folder.to_owned() })
    }

    /// Leaves not one byte of room.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let mut filler = std::fs::File::create(self.folder.join(FILLER))?;
        let zeros = vec![0; PIECE];
        loop {
            match filler.write(&zeros) {
                Ok(1..) => {}
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("the disk cannot be filled"),
            }
        }
    }

    /// Takes away what `fill` put there.
    pub(super) fn empty(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.folder.join(FILLER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("the disk cannot be emptied"),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its namespace takes it away where this fails.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}
