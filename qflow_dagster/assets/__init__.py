"""Assets: what is derived from code, and looks at the tables. The file is named after the asset group."""
