//! Files that only their owner may read, and that are replaced whole or not at all. Whoever writes, they stay their owner's.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::secrets::owners::hand_over;

/// The permission bits of a file that group or others can use.
pub(in crate::secrets) fn exposed(file: &File) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// What `tempfile` called the files of older builds.
const OF_OLDER_BUILDS: &str = ".tmp";

/// A file that is written beside the one whose place it takes. Under the lock there is one at most, so it has a name of its own: what a
/// crash leaves goes with the next write.
struct Fresh {
    path: PathBuf,
    file: File,
    in_place: bool,
}

impl Fresh {
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
        let path = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
        remove(&path)?;
        // Nothing that somebody else has put there meanwhile is written to.
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, in_place: false })
    }

    fn take_place(mut self, of: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, of)?;
        self.in_place = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Puts a new file in the place of `path`, with its owner and mode; where there is none, one of mode 0600 for the owner of the
/// store's `folder`. It is on the disk before it is seen, and its name after that. The store's lock has to be held.
pub(super) fn replace(path: &Path, folder: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let place = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    let before = found(path)?;
    let mut fresh = Fresh::beside(path)?;
    let like = before.clone().map_or_else(|| std::fs::metadata(folder), Ok)?;
    hand_over(&fresh.file, &like)?;
    if let Some(before) = before {
        fresh.file.set_permissions(Permissions::from_mode(before.permissions().mode() & 0o777))?;
    }
    write(&mut fresh.file)?;
    fresh.take_place(path)?;
    // The folder of a bare name is the one that this runs in.
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    File::open(place)?.sync_all()
}

/// What a crash has left in the store's folder, by its name.
fn left_of_writes(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut left = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(OF_OLDER_BUILDS) || (name.starts_with('.') && name.ends_with(".new"));
        if is_ours && entry.file_type()?.is_file() {
            left.push(entry.path());
        }
    }
    Ok(left)
}

/// Whether there is anything of the kind. It may be of a writer that is at it.
pub(super) fn is_untidy(folder: &Path) -> io::Result<bool> {
    left_of_writes(folder).map(|left| !left.is_empty())
}

/// Takes it away. The store's lock has to be held: whoever writes holds it, older builds, too, so nothing there is of anybody who does.
pub(super) fn tidy(folder: &Path) -> io::Result<()> {
    left_of_writes(folder)?.iter().try_for_each(|path| remove(path))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for the lock of a folder, and holds it for as long as the file is held.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("lock");
    let file = match File::options().create_new(true).append(true).open(&path) {
        Ok(made) => {
            if let Err(refused) = std::fs::metadata(folder).and_then(|like| hand_over(&made, &like)) {
                // A lock that its owner cannot open would be worse than none.
                let _ = std::fs::remove_file(&path);
                return Err(refused);
            }
            made
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::options().append(true).open(&path)?,
        Err(error) => return Err(error),
    };
    file.lock()?;
    Ok(file)
}
