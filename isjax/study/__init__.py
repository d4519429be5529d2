"""Studies: sweeps that survive interruption and scale out, with named results."""
