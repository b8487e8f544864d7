"""Cases of the tests that other linters have for their own rules, read from their repositories.

`cases` is what is common to all; `rule_tester` reads tests of ESLint, `marks` files in which comments mark what is
reported, `java` the tests of PMD, Error Prone and OpenRewrite, `python` those of pyupgrade, LibCST and ruff.
"""
