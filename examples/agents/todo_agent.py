#!/usr/bin/env python3
"""An agent in Python: find TODO comments in the file that an assignment names.

Reads one assignment as JSON from standard input, and writes the result as JSON to standard output.
"""

import json
import sys
from pathlib import Path

assignment = json.load(sys.stdin)
# An exception ends the program with an exit code other than 0: the assignment has failed, and is tried again.
text = Path(assignment["task"]["path"]).read_text(encoding="utf-8")
lines = [number for number, line in enumerate(text.splitlines(), 1) if "TODO" in line]
json.dump({"todos": len(lines), "lines": lines}, sys.stdout)
