"""What samples completions: the contract of an engine, the engines, and the choice between them."""
