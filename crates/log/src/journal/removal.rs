//! Removes files that may be gone already.

use std::io;
use std::path::Path;

use millstream_runtime::Disk;
use tracing::warn;

/// Removes a file; one that is not there is as good as removed.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes a file whose staying costs nothing but room.
pub(super) fn remove_or_warn(disk: &dyn Disk, path: &Path) {
    if let Err(error) = remove_if_there(disk, path) {
        warn!(path = %path.display(), %error, "file cannot be removed");
    }
}
