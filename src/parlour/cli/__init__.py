"""The `parlour` command: reads its arguments, calls the room that does the work, tells failures.

What a command needs is imported when it runs, so that `parlour --help` answers at once.
"""

from parlour.cli.commands import main

__all__ = ["main"]
