"""Asset checks: what must hold of ingested and measured code, one module per asset group.

Belongs here: turning what a domain says of its rows into a verdict. Does not belong here:
the queries themselves.
"""
