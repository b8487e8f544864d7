"""What is derived from code, as Dagster assets: one module per asset group.

Belongs here: asset definitions that call a domain and describe what came out. Does not
belong here: how anything is computed (``ingestion``, ``metrics``), nor jobs and sensors.
All assets are partitioned by repository (``partitions``).
"""
