"""Pure functions of the paper on NumPy alone: quantizer settings, histograms, calibration, codes and their errors."""
