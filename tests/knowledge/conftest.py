"""A small project that questions are asked about."""

from tests.ingestion.conftest import ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]
