"""The one partition dimension of all assets: the repository, by its name."""

import dagster as dg

REPOSITORIES = "repository"

repositories = dg.DynamicPartitionsDefinition(name=REPOSITORIES)
