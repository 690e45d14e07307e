"""Reports: what was measured of one model as one document."""
