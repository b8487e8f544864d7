"""New rules from what people changed again and again in a repository's own history.

- `rule_miner`: choosing; `drafts`: what is kept of it
- `mined_history`: commits and their edits, read once, of which `small_commits`, `commit_selection` and
  `concrete_edits` read commits, and cut edits out of them
- `anti_unification`, `edit_groups`, `mined_rules`: generalising edits, and writing rules
- `precision`, `verdicts`: what became of places that a rule would have changed
- `rolling`: how good all this is where it runs again and again

Imports nothing itself: worker processes import parts of it, and need no database.
"""
