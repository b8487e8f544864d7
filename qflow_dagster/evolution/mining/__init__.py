"""New rules from what people changed again and again in a repository's own history.

- `rule_miner`: choosing; `drafts`: what is kept of it
- `small_commits`, `commit_selection`, `concrete_edits`: reading commits, and cutting edits out of them
- `anti_unification`, `edit_groups`, `mined_rules`: generalising edits, and writing rules
- `precision`, `verdicts`: what became of places that a rule would have changed

Imports nothing itself: worker processes import parts of it, and need no database.
"""
