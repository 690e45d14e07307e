"""Pure functions of the paper: quantizer settings, histograms, calibration, quantization and its error.

Everything but `quantize` works on NumPy alone, so that a process which only draws need not import torch.
"""
