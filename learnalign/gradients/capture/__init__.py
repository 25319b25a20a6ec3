"""From samples to layer inputs and output gradients, prompt by prompt.

sites (which layers, their taps, the Sink that takes them), batching (rows, padding), sharing (completions that share their prompt),
budget (tokens of a batch), attention (a faster backward pass on a CPU).
"""
