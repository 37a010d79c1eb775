"""Runs all probes in one kernel each, as whoever this process is, and prints what came of them.

`python prober.py LEVEL FOLDER` prints JSON: name of a probe to "stopped" or how it got out.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from probes import HARMLESS, ORDINARY, PREAMBLE, PROBES
from rig import Rig, with_level

from parlour.kernels.inside import walls
from parlour.kernels.kernel import Ended, Raised


def main(level: str, folder: Path) -> None:
    os.environ["A_KEY"] = "s3cret"
    outside = folder / "outside"
    outside.mkdir()
    secret = outside / "secret.txt"
    secret.write_text("s3cret")
    places = folder / "places"
    listening = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(outside / "socket"))
    unix.listen()
    name = f"parlour-{secrets.token_hex(8)}"
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{name}")
    abstract.listen()
    shared = Path("/dev/shm") / name
    shared.write_text("s3cret")
    bystander = subprocess.Popen(["sleep", "300"])
    rig = Rig(places, with_level(level))
    found: dict[str, str] = {}
    try:
        (places / "parlour.key").write_text("s3cret")
        other = rig.place("other")
        neighbour = rig.start(other)
        rig.cell(neighbour, "open('secret.txt', 'w').write('s3cret')")
        told = {
            "secret": str(secret),
            "folder": str(places),
            "other": str(places / "other"),
            "pid": os.getpid(),
            "neighbour": bystander.pid,
            "port": listening.getsockname()[1],
            "unix": str(outside / "socket"),
            "abstract": name,
            "shm": name,
            "key": walls.pass_key() if level == "landlock" and os.geteuid() == 0 else 0,
        }
        for probe in HARMLESS if level == "none" else PROBES:
            found[probe] = attempt(rig, PREAMBLE.format(told=told), PROBES[probe])
        for ordinary, code in ORDINARY.items():
            found[ordinary] = ordinary_cell(rig, PREAMBLE.format(told=told), code)
        assert rig.value(neighbour, "1 + 1") == "2"
        found["planted"] = str((places / "planted").exists())
    finally:
        rig.close()
        bystander.kill()
        bystander.wait()
        shared.unlink()
    print(json.dumps(found))


def attempt(rig: Rig, preamble: str, code: str) -> str:
    kernel = rig.start()
    try:
        assert rig.status(kernel, preamble) == "ok"
        for output in rig.cell(kernel, code):
            if isinstance(output, Raised) and output.ename == "Escaped":
                return f"escaped {output.evalue}"
        return "stopped"
    finally:
        rig.run(kernel.close())


def ordinary_cell(rig: Rig, preamble: str, code: str) -> str:
    kernel = rig.start()
    try:
        rig.cell(kernel, preamble)
        outputs = rig.cell(kernel, code)
        raised = [f"{o.ename}: {o.evalue}" for o in outputs if isinstance(o, Raised)]
        ended = outputs[-1]
        assert isinstance(ended, Ended)
        return "works" if ended.status == "ok" else f"{ended.status} {raised}"
    finally:
        rig.run(kernel.close())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
