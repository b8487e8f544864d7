"""The driver's connection with a limit to waiting for an answer.

The server's own limit (statement_timeout) does not help where the server, or something on the way to it, is silent.
Does not belong here: engines, which connect with it.
"""

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus


class AnsweredConnection(psycopg.Connection):
    """A connection of psycopg that gives up on a server that does not answer within `answer_limit` seconds."""

    # None: no limit.
    answer_limit: float | None = None

    def wait(self, gen: Any, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        """Wait for an answer as psycopg does; close the connection when the limit is over.

        Raises:
            psycopg.OperationalError: The server did not answer in time.
        """
        if timeout is not None or self.answer_limit is None:
            return super().wait(gen, *args, timeout=timeout, **options)
        try:
            return super().wait(gen, *args, timeout=self.answer_limit, **options)
        except psycopg.OperationalError as error:
            # After an error that the server reported, nothing is active.
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {self.answer_limit:g} s"
            ) from error
