"""Speed: what is timed, in which rounds, and the model that predicts a plan's latency."""
