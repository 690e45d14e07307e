"""Kernels: counting and rounding of tensors, in C where it was compiled and in PyTorch otherwise, equal to the bit."""
