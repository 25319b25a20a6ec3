"""`learnalign doctor`: can this machine and this config do a run?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from .common import ConfigFile, Json, Overrides, print_json


def doctor(config: ConfigFile = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check the machine, the model, the pool and the verifier, and score one rollout; exit code 1 if a check fails.

    Without --config it checks with the demo. It imports the code that the config names, as a run of it does.
    """
    from learnalign.doctor import doctor as examine

    findings = []
    for finding in examine(config or "demo", overrides or [], Path()):
        findings.append(finding)
        if not as_json:
            print(f"{finding.status:4}  {finding.check:9}  {finding.seen}", flush=True)
            if finding.way:
                print(f"{'':17}{finding.way}", flush=True)
    failed = [finding.check for finding in findings if finding.status == "fail"]
    if as_json:
        print_json({"passed": not failed, "checks": [asdict(finding) for finding in findings]})
    elif not failed:
        print("nothing stands in the way of a run")
    if failed:
        raise SystemExit(1)
