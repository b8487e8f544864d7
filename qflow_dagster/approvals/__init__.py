"""Approvals: requesting a person's decision, deciding, and using it (the Arbiter of QuantumFlow).

- `approval`: what an approval is: state machine, kinds, digest
- `arbiter`: requests, decisions, revocations
- `authorization`: using an approval up, once
- `assignment`: passing a request on; `deciders`: who may decide
- `forms`: fields that whoever approves fills in
- `tokens`: tokens of approvals; `batches`: decisions on several
- `reminders`: reminders of pending requests
- `policy`: when a policy may decide in place of a person
- `lists`: lists with filters and counts
- `records`: one approval with its history, exports, consistency checks
- `approved_workflows`: workflows that start only once they are approved

Importing the package registers its workflow types. Does not belong here: what is approved (edits and
rules in `agents`), Dagster, pages.
"""

from qflow_dagster.approvals.approval import KINDS

__all__ = ["KINDS"]
