"""Engines sample completions: their contract, the two engines, and the choice between them."""
