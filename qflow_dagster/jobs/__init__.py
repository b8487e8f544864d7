"""Jobs: what a run does. The file is named after the asset group that the job is about."""
