"""Knowledge requests: questions and tickets, answered from ingested facts, with evidence.

- `requests`: the lifecycle of a request; `tickets`: requests of other kinds than questions; `producers`: requests
  that the system raises itself; `listener`: answers requests as they come
- `questions`: what a question asks; `answers`, `evidence`, `lookups`: where answers come from
- `index`, `entries`, `workers`: full-text search

Imports nothing itself: worker processes import parts of it, and need no database.
"""
