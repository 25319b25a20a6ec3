"""Programs as answers: the verifier `code` runs a completion's program in a sandbox on the row's tests."""
