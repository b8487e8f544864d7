"""Rules: what they find in ingested code, what becomes of it, and what that makes of the rules.

- `rules`: the packs; `matchers`, `functions`, `conditions`: how a rule finds
- `rule_engine`, `workers`: evaluation of a repository, each (blob, rule version) once
- `findings`: their life: open, fixed, suppressed, reopened; `sarif`: exchange with other tools
- `rule_set`: the rules that hold now: packs, and the lives of rule versions
- `outcomes`, `place_records`: what became of findings and changes, and the code it was about
- `confidence`, `calibration`, `thresholds`, `standings`: what is believed of rules, and what they may do
- `rule_evolver`: variants, trials, verdicts; `variants`, `constraints`, `separation`, `widening`,
  `places`: how variants are found
- `mining`: new rules from history; `sharing`: rules of other instances; `pictures`

Does not belong here: planning the work (`execution`), changing code (`generation`), asking people (`agents`).

Imports nothing itself: worker processes import parts of it, and need no database.
"""
