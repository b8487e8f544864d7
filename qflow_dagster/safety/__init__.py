"""Text and data from outside, made safe to show, to store and to read.

- `display`: text that a person sees as it is: nothing hides, reorders or moves the cursor
- `storable`: values that PostgreSQL can hold, and JSON that cannot break its reader
- `redaction`: secrets taken out
- `logs`: log records that are both redacted and visible
- `names`: names that do not look like others
- `documents`: YAML and JSON that people write, with the position of what is wrong
- `key_files`: keys made on first use, readable by their owner alone
- `private_folders`: folders that only their owner can enter

Each function is used by every command, page, log line, notification and table that text from
outside reaches. Does not belong here: what the text means.
"""
