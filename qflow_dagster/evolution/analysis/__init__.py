"""Names and types as far as a file alone shows them, from its syntax tree.

Belongs here: analysis that both finding (`context`) and fixing (`generation.preconditions`) need. Does not belong here:
what the rest of the repository says.
"""
