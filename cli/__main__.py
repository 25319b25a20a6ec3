"""`python -m learnalign_cli` is the `learnalign` command."""

from .app import main

main()
