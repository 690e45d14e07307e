"""Advice: rules on results and on ranges."""
