"""Changing code: patches for work items, proposed by generators, checked by gates.

- `orchestrator`: a batch of work items from request to best candidate; `single`: one item or patch on request
- `generators`, `codemods`, `narrowing`: what proposes a change; `item_requests`, `proposing`, `workers`: calling them
- `validation`, `remaining`, `suite_gate`, `repository_tests`: the gates
- `patches`: what a patch may change, and git's side of it; `candidates`, `candidate_records`: what is stored

Does not belong here: approving and applying (`agents`), what to change (`execution`).

Imports nothing itself: worker processes import parts of it, and need no database.
"""
