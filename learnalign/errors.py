"""The errors a user can cause or meet: each message names the file, row, key or prompt, and every way out."""


class LearnAlignError(Exception):
    """Base of every error that learnalign raises on purpose; printed without a traceback."""

    exit_code = 1


class InputError(LearnAlignError):
    """Wrong use, configuration or input: exit code 2."""

    exit_code = 2


class RunError(LearnAlignError):
    """The work itself failed (disk full, engine did not start, too many bad gradients): exit code 1."""

    exit_code = 1


def one_line(error: object, limit: int | None = None) -> str:
    """The text of `error` on one line, cut to `limit` characters."""
    return " ".join(str(error).split())[:limit]
