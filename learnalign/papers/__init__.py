"""The papers' tables and figures as runs: choose, train, evaluate, and print the paper's numbers beside ours (`learnalign paper`)."""
