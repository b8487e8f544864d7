"""Rules: evaluating them on ingested code, tracking findings and outcomes, and evolving the rules.

- `rules`: rules and rule packs; `matchers`, `ruff_matcher`, `functions`, `conditions`: evaluating a rule
- `examples`: checking rules against their examples
- `rule_engine`, `workers`: evaluation of a repository, each (blob, rule version) once
- `findings`, `metric_findings`: findings and their lifecycle; `sarif`: exchange with other tools
- `rule_set`: the rules in force: packs, and the lifecycles of rule versions
- `outcomes`, `location_records`: what happened to findings and changes, and the code they were about
- `confidence`, `calibration`, `thresholds`, `trust`: estimated confidence and trust level of rules
- `rule_evolver`: variants, trials, verdicts; `variants`, `constraints`, `separation`, `widening`,
  `locations`: constructing variants
- `mining`: new rules from history; `sharing`: exchange of rules with other instances

Planning is in `execution`, changing code in `generation`, approvals in `approvals`.

Imports nothing itself: worker processes import parts of it without a database driver.
"""
