"""What goes in and out of an analysis: frozen parameters and results with a JSON form, free of PyTorch.

The dashboard's process imports these and never the code that runs a model.
"""
