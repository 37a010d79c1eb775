"""Logs in PostgreSQL, for as many workers as there are: the server decides every race.

`store` is the store, `schema` its migrations, `server` connections and what errors mean.
"""

from parlour.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
