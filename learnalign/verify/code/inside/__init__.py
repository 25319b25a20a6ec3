"""What runs inside the sandbox, on the standard library alone: nothing else of this package is there."""
