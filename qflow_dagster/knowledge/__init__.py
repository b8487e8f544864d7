"""Knowledge requests: what somebody wanted to know, answered from what was ingested, with evidence.

Room by room: `requests` (the life of a request), `questions` (what a question asks), `answers`,
`evidence` and `lookups` (where answers come from), `tickets` (requests of other kinds), `index` and
`words` (full-text search), `producers` (requests nobody typed), `listener` (at once).

Imports nothing itself: worker processes import parts of it, and need no database.
"""
