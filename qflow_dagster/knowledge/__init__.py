"""Knowledge requests: questions and tickets, answered from ingested facts, with evidence.

- `requests`: the lifecycle of a request; `tickets`: requests of other kinds than questions; `producers`: requests
  that the system raises itself; `listener`: answers requests as they come
- `questions`, `question_patterns`, `learned_wordings`: what a question asks; `answers` and modules of kinds of answers;
  `evidence`; `lookups`, `history_lookups`, `graph`, `git_facts`: where answers come from
- `search`; `index`, `entries`, `words`, `workers`: full-text search

Imports nothing itself: worker processes import parts of it, and need no database.
"""
