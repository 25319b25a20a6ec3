"""The `learnalign` command, also as `python -m learnalign_cli`, for which Python puts the current directory first."""

import gc
import os

if os.name != "posix":
    raise SystemExit(
        "learnalign runs on Linux and macOS; on Windows, install it in WSL (https://learn.microsoft.com/windows/wsl)"
    )

from learnalign.isolation import drop_current_directory

drop_current_directory()
# Imports make many objects that stay: to look for garbage among them takes two seconds.
gc.set_threshold(50_000, 20, 20)

from learnalign_cli.stopping import SIGNALS, arrived, end, leave, listen  # noqa: E402  # may import only now


def main() -> None:
    """Entry point of the `learnalign` command; answers signals while it imports the commands, too."""
    try:
        try:
            listen()  # a signal may have come before
            from learnalign_cli.app import main as command

            command()
        except SystemExit as ended:
            if not arrived() and ended.code not in [128 + number for number in SIGNALS]:
                end(ended.code)
            raise
    except BaseException as error:
        if arrived():
            _show_traceback(error)
            leave()
        if isinstance(error, SystemExit):
            leave(error.code)  # a stage was ended by a signal of its own
        raise


def _show_traceback(error: BaseException) -> None:
    from learnalign_cli.common import debugging

    if debugging():
        import traceback

        traceback.print_exception(error)


if __name__ == "__main__":
    main()
