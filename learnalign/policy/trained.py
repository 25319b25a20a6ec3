"""A training's policies by step, as a user names them: train/NAME (the last), train/NAME@STEP, train/NAME@all."""

from __future__ import annotations

import re
from pathlib import Path

from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.rundir.files import check_whole

ALL = "@all"


def policies_by_step(run: RunDir, name: str, key: str = "eval.policy") -> dict[int, str]:
    """The policies of training DIR/train/NAME by ascending step: the model it started from (step 0: base or policy), those
    kept on the way, and, once the training is finished, the last. Raises InputError, naming the config `key`, if there is no
    such training.
    """
    directory = run.path / "train" / name
    if not name or not (directory / "config.yaml").is_file():
        names = ", ".join(f"train/{done.parent.name}" for done in sorted((run.path / "train").glob("*/config.yaml")))
        raise InputError(f"{key} train/{name}: no such training; this run has {names or 'none'}")
    training = RunDir.peek(directory)
    kept = [re.fullmatch(r"step-(\d{6,})", path.name) for path in (directory / "policies").glob("step-*")]
    policies = {int(match[1]): f"train/{name}@{int(match[1])}" for match in kept if match}
    policies[0] = training.config.train.start
    entry = training.read_record()["stages"].get("train", {})
    if entry.get("status") == "done":
        policies[entry["counts"]["steps"]] = f"train/{name}"
    return dict(sorted(policies.items()))


def plain_name(run: RunDir, policy: str, key: str = "eval.policy") -> str:
    """`policy`, or the plainest name of train/NAME@STEP: train/NAME for the last step, base or policy for step 0.

    Raises InputError if there is no such training, or it has no policy of that step.
    """
    name, at, step = policy.removeprefix("train/").partition("@")
    if not at or not policy.startswith("train/"):
        return policy
    policies = policies_by_step(run, name, key)
    if step.isdecimal() and int(step) in policies:
        return policies[int(step)]
    if f"@{step}" == ALL:
        raise InputError(f"{key} {policy} names several policies; give one here, such as train/{name}")
    raise InputError(
        f"{key} {policy}: no such step; train/{name} has {', '.join(map(str, policies))} "
        f"(train/{name}{ALL}: all of them; train.keep_checkpoints keeps more)"
    )


def trained_path(run: RunDir, policy: str, key: str = "eval.policy") -> Path:
    """The directory of train/NAME or train/NAME@STEP, a plain name; raises InputError if there is no such training,
    RunError if it is not finished.
    """
    name, at, step = policy.removeprefix("train/").partition("@")
    directory = run.path / "train" / name
    path = directory / "policies" / f"step-{int(step):06d}" if at else directory / "policy"
    if not path.is_dir():
        policies_by_step(run, name, key)
        raise RunError(f"{key} {policy}: its training is not finished; run `learnalign train` again to resume it")
    check_whole(path)
    return path
