"""Run directories on remote file systems: a local copy to work in, mirrored to the URL.

store    the objects below a URL: whole puts, further attempts, errors in one line
lease    one command at a time
copy     the local copy, and what of it the remote is known to hold
mirror   pulls before a command, pushes while it works and at its end
"""

from learnalign.rundir.remote.copy import cache_directory
from learnalign.rundir.remote.lease import LeaseLost
from learnalign.rundir.remote.mirror import mirrored
from learnalign.rundir.remote.store import NoPermission, RemoteError

__all__ = ["LeaseLost", "NoPermission", "RemoteError", "cache_directory", "mirrored"]
