"""A small shop, for trying qflow on: it has some faults on purpose."""
