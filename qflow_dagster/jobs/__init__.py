"""Jobs: the work that a run does. Each file is named after an asset group."""
