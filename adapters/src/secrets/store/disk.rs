//! Files that only their owner may read, and that are replaced whole or not at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The permission bits of a file that group or others can use.
pub(in crate::secrets) fn exposed(file: &File) -> io::Result<Option<u32>> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// Puts a new file of mode 0600 in the place of `path`. It is on the disk before it is seen, and its name after that.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    write(fresh.as_file_mut())?;
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    File::open(folder)?.sync_all()
}
