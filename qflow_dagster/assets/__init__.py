"""Assets: data derived from code, and summaries of the tables. Each file is named after its asset group."""
