"""File systems that several machines share, on which SQLite's write-ahead log is unsafe."""

import re
from pathlib import Path

#: Types of file systems of several machines, or behind a process that may be (FUSE: sshfs, Ceph, GlusterFS, S3).
_SHARED = re.compile(
    r"nfs\d?|cifs|smb.*|9p|virtiofs|fuse(\..+)?|lustre|gpfs|beegfs|ceph|glusterfs|afs|ocfs2|gfs2|pvfs2"
)

#: Mounts of the process on Linux (proc_pid_mountinfo(5)); absent on other systems.
_MOUNTS = Path("/proc/self/mountinfo")


def on_shared_file_system(path: Path) -> bool:
    """Returns whether a file or folder is on a file system that other machines may use at the same time.

    The write-ahead log keeps its index in memory shared by the processes of one machine (https://sqlite.org/wal.html),
    so a reader on another machine sees a damaged or an old study. False on systems that do not list their mounts.
    """
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return False
    absolute, kind, depth = path.resolve(), "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        folder = Path(_unescaped(before.split()[4]))
        # Of mounts at the same folder, the last one covers the others.
        if absolute.is_relative_to(folder) and len(folder.parts) >= depth:
            kind, depth = after.split()[0], len(folder.parts)
    return _SHARED.fullmatch(kind) is not None


def _unescaped(text: str) -> str:
    """Returns a path of the list of mounts, which writes blanks and the like as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)
