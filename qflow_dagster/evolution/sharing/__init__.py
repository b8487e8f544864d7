"""Rules shared with other instances: signed packages, trust, votes.

- `exchange`: publishing and importing, whole; `publisher`, `imports`: its halves
- `instances`, `rule_packages`, `shared_places`: who, what file, and where it lies
- `consensus`, `votes`: what the instances together hold of a rule
"""
