"""The only code that touches `nn.Module`: sites, observation, plans, quantized execution, batch-norm folding."""
