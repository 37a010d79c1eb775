"""`parlour`, in a process whose wall clock can be moved and whose engine may be wrong on purpose.

`FAULTS_CLOCK` names a file of eight bytes: the seconds by which `time.time` differs from the
machine's. `FAULTS_BROKEN` names one of `broken.ENGINES`.
"""

import mmap
import os
import struct
import time
from pathlib import Path

from parlour.cli import main

clock = os.environ.pop("FAULTS_CLOCK", "")
if clock:
    with Path(clock).open("rb") as file:
        # The map outlives the file, and costs nothing when it is read.
        offset = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    machine_time = time.time
    read = struct.Struct("d").unpack_from
    time.time = lambda: machine_time() + read(offset)[0]

broken = os.environ.pop("FAULTS_BROKEN", "")
if broken:
    from faults.broken import ENGINES

    ENGINES[broken].install()

main()
