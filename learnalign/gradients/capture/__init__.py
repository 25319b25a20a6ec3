"""What a forward and backward pass gives: layer inputs and output gradients, prompt by prompt."""
