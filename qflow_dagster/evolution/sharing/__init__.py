"""Exchange of rules with other instances: signed packages, trusted keys, votes.

- `exchange`: publishing and importing as complete procedures; `publisher`, `imports`: their parts
- `instances`: keys and identities; `rule_packages`: the file format; `shared_stores`: where files are stored
- `consensus`, `votes`: the common decision of the instances on a rule
"""
