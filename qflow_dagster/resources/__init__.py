"""Resources of assets, checks and sensors: the database, and where to report progress.

Belongs here: small Dagster resources. Does not belong here: logic of any domain.
"""
