//! Whose the files of secrets are. The service may run as another account than whoever puts a secret in its place: what root
//! writes stays the service's, and who is neither is told whose it is before anything is written.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

/// Files that another account has than the folder of secrets, whose account the service should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strangers {
    /// The folder's account, in words.
    pub account: String,
    /// The same for `chown`.
    pub owner: String,
    /// The files.
    pub paths: Vec<PathBuf>,
}

/// An account by its number and, where the machine has one, by its name.
fn account(uid: u32) -> String {
    let all = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| format!("{name} (uid {uid})"))
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

/// Gives a file of the store that was just made the account of another one of it. Root may do that, the account itself need not.
pub(super) fn hand_over(made: &File, like: &Metadata) -> io::Result<()> {
    let mine = made.metadata()?;
    if (mine.uid(), mine.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    match fchown(made, Some(like.uid()), Some(like.gid())) {
        Err(error) if mine.uid() != like.uid() => {
            let (theirs, ours) = (account(like.uid()), account(mine.uid()));
            let words = format!("the store belongs to {theirs}, and this runs as {ours}: run it as {theirs}");
            Err(io::Error::new(error.kind(), words))
        }
        // Its group has no rights to it.
        _ => Ok(()),
    }
}

/// What root has made in somebody's folder is theirs from then on. Where anybody else makes something, it stays with who made it.
pub(crate) fn hand_down(made: &File, folder: &Path) -> io::Result<()> {
    let around = std::fs::metadata(folder)?;
    if made.metadata()?.uid() == 0 && around.uid() != 0 {
        fchown(made, Some(around.uid()), Some(around.gid()))?;
    }
    Ok(())
}

/// Makes a folder of mode 0700 where there is none, and those that it is in.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o700).create(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != path => {
            make_folder(parent)?;
            make()
        }
        made => made,
    };
    match made {
        Ok(()) => hand_down(&File::open(path)?, parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why something in the store's folder cannot be done, and who could do it where the system says that we may not.
pub(super) fn refused(path: &Path, error: &io::Error) -> String {
    let said = format!("{}: {error}", path.display());
    // Of the system's own words alone: ours say it already.
    if error.kind() != io::ErrorKind::PermissionDenied || error.raw_os_error().is_none() {
        return said;
    }
    // What is further up may be root's whoever has the store.
    let owner_of = |(depth, place): (usize, &Path)| {
        let uid = std::fs::metadata(place).ok()?.uid();
        (depth < 2 || uid != 0).then(|| account(uid))
    };
    match path.ancestors().enumerate().find_map(owner_of) {
        Some(whose) => format!("{said}; it belongs to {whose}: run this as that account, or give it to the service's"),
        None => format!("{said}; run this as the account that the service runs as"),
    }
}

/// Of the folder of secrets `dir`, its store and the store's key: what another account has than the folder. Where root has the
/// folder, as that of a volume, the store's account counts.
pub(super) fn strangers(dir: &Path, store: &Path, key: &Path) -> Option<Strangers> {
    let owner_of = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.uid(), found.gid()));
    let whose = owner_of(dir).filter(|(uid, _)| *uid != 0).or_else(|| owner_of(store))?;
    let within = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = within(dir).chain(within(store)).filter(|path| path.is_file());
    let mut paths: Vec<PathBuf> = files.chain([store.to_owned(), key.to_owned()]).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| owner_of(path).is_some_and(|(uid, _)| uid != whose.0));
    let (uid, gid) = whose;
    (!paths.is_empty()).then(|| Strangers { account: account(uid), owner: format!("{uid}:{gid}"), paths })
}
