"""Where programs run, by the value of `verifier_sandbox`."""

from __future__ import annotations

from learnalign.errors import InputError
from learnalign.verify.code.sandbox import Sandbox
from learnalign.verify.workers import usable_cpus

LOCAL = "local"
MOST_REQUESTS = 16  # to a service at once


def is_url(sandbox: str) -> bool:
    """Whether it is the address of a service."""
    return sandbox.startswith(("http://", "https://"))


def open_sandbox(sandbox: str | None) -> Sandbox:
    """Open the place where programs run; raises InputError, with the ways out, if it cannot be used."""
    if sandbox == LOCAL:
        from learnalign.verify.code.local import LocalSandbox

        return LocalSandbox()
    if sandbox and is_url(sandbox):
        from learnalign.verify.code.service import Service

        return Service(sandbox)
    what = f"not {sandbox!r}" if sandbox else "which is not set"
    raise InputError(
        f"the verifier code runs programs: verifier_sandbox says where, {what}; set it (of `verify`: --sandbox) to local "
        "(bubblewrap on this machine) or to the URL of SandboxFusion or Piston"
    )


def at_once(sandbox: str | None) -> int:
    """How many programs run at once: one per CPU here, several on a service."""
    return MOST_REQUESTS if sandbox and is_url(sandbox) else usable_cpus()
