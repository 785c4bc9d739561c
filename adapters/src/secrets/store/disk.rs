//! Files that only their owner may read, and that are replaced whole or not at all. Whoever writes, they stay their owner's.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::secrets::owners::hand_over;

/// The permission bits of a file that group or others can use.
pub(in crate::secrets) fn exposed(file: &File) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// Puts a new file in the place of `path`, with its owner and mode; where there is none, one of mode 0600 for the owner of the
/// store's `folder`. It is on the disk before it is seen, and its name after that.
pub(super) fn replace(path: &Path, folder: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let place = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    let before = found(path)?;
    let mut fresh = tempfile::NamedTempFile::new_in(place)?;
    let like = before.clone().map_or_else(|| std::fs::metadata(folder), Ok)?;
    hand_over(fresh.as_file(), &like)?;
    if let Some(before) = before {
        fresh.as_file().set_permissions(Permissions::from_mode(before.permissions().mode() & 0o777))?;
    }
    write(fresh.as_file_mut())?;
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    File::open(place)?.sync_all()
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
