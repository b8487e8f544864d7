"""Mining new rules from changes that people made repeatedly in a repository's history.

- `rule_miner`: selecting rules; `drafts`: storing them as drafts
- `mined_history`, `mined_commits`, `concrete_edits`: reading commits, and extracting edits from them
- `anti_unification`, `edit_groups`, `mined_rules`: generalising edits, and writing rules
- `precision`, `verdicts`: evaluating rules on later commits
- `fixed`: locations of an existing rule that people fixed by themselves

Imports nothing itself: worker processes import parts of it without a database driver.
"""
