"""Programs for the maintainers of this repository, called by its Makefile."""
