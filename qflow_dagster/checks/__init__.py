"""Asset checks: a verdict on what a domain says of its rows. The file is named after the asset group."""
