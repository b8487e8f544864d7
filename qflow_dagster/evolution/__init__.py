"""Rules: what they find in ingested code, and what becomes of the findings.

- `rules`: the packs; `matchers`, `functions`, `conditions`: how a rule finds
- `rule_engine`: evaluation of a repository, each (blob, rule version) once
- `findings`: their life: open, fixed, suppressed, reopened; `sarif`: exchange with other tools

Does not belong here: planning the work (`execution`), changing code (`generation`).

Imports nothing itself: worker processes import parts of it, and need no database.
"""
