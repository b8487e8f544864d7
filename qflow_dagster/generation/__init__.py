"""Changing code: patches for work items, proposed by generators, judged by gates.

- `orchestrator`: a batch of work items from request to best candidate
- `generators`, `codemods`, `proposing`: who proposes, each on its own
- `validation`, `suite_gate`, `repository_tests`: the gates
- `patches`: what a patch may touch, and git's side of it; `candidate_records`: what is stored

Does not belong here: approving and applying (`agents`), what to change (`execution`).

Imports nothing itself: worker processes import parts of it, and need no database.
"""
