"""Log records that hold no secret, and no text that hides something or poses as another line.

Belongs here: the filter of all that is logged, and getting a logger that has it. Every module logs
through `logger`; a process of ours filters the records of others too, at its handlers.
"""

import logging

from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.safety.redaction import redact_text


class SafeFilter(logging.Filter):
    """A filter for loggers and handlers: message, traceback and stack leave without secrets, and readable."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what the record says; always lets it pass."""
        record.msg, record.args = visible_line(redact_text(record.getMessage())), ()
        if record.exc_info and not record.exc_text:
            # A formatter takes the text where there is one.
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = visible(redact_text(record.exc_text))
        if record.stack_info:
            record.stack_info = visible(redact_text(record.stack_info))
        return True


def logger(name: str) -> logging.Logger:
    """Return the logger of a module (its ``__name__``), whose records are safe whoever handles them."""
    named = logging.getLogger(name)
    if not any(isinstance(each, SafeFilter) for each in named.filters):
        named.addFilter(SafeFilter())
    return named
