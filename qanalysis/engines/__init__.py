"""Backing engines: the file that people deploy, and the runtimes that execute it with integer kernels.

Nothing is imported here: each engine is a package of its own that may be missing.
"""
