"""Asset checks: pass or fail according to rows that domains select. Each file is named after its asset group."""
