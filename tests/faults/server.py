"""The server of the storms: `parlour run` with the chaos app, on a disk that can fail."""

import shutil
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from live_server import LiveServer

from faults.disks import Disk

HERE = Path(__file__).parent
LAUNCHER = HERE / "launcher.py"
SETTINGS = {
    "PARLOUR_IDLE_AFTER": "0.5",
    "PARLOUR_HIBERNATE_AFTER": "0.3",
    "PARLOUR_SNAPSHOT_EVERY": "64",
    "PARLOUR_LIMITS__ROUND_SECONDS": "4",
    "PARLOUR_LIMITS__STOP_SECONDS": "1",
    "PARLOUR_LIMITS__RECORDS_PER_ROUND": "120",
    "PARLOUR_LIMITS__QUEUED_MESSAGES": "8",
    "PARLOUR_LIMITS__LISTENER_BYTES": "262144",
    "PARLOUR_LIMITS__RESUMPTIONS": "50",
}
"""Small limits, so that every one of them is met; sessions leave memory all the time."""


class ChaosServer(LiveServer):
    """Serves `chaos_app`; `broken` names an engine of `broken` that is installed in the process."""

    def __init__(self, folder: Path, disk: Disk, *, broken: str = "") -> None:
        super().__init__(folder, "", store=f"sqlite:///{disk.folder / 'parlour.db'}")
        self.database = disk.folder / "parlour.db"
        shutil.copyfile(HERE / "chaos_app.py", self.file)
        self._clock = folder / "clock"
        self.step_clock(0.0)
        self.environment = {
            **SETTINGS,
            "PYTHONPATH": str(HERE.parent),
            "FAULTS_CLOCK": str(self._clock),
            "FAULTS_BROKEN": broken,
        }

    def _command(self, environment: Mapping[str, str]) -> list[str]:
        del environment
        return [sys.executable, str(LAUNCHER), "run", self.file.name]

    def step_clock(self, seconds: float) -> None:
        """Move the wall clock of this server, and of the lives that follow, away from ours."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))

    def deploy(self, version: str) -> None:
        """Change the code; it counts from the next start."""
        (self.folder / "version.txt").write_text(version, encoding="utf-8")

    @property
    def world(self) -> Path:
        return self.folder / "world.txt"

    @property
    def dead(self) -> bool:
        """Whether it ended without being asked."""
        return self.process is not None and self.process.poll() is not None

    def measure(self) -> dict[str, float]:
        """What it holds of the machine; nothing if it does not run."""
        process = self.process
        if process is None or process.poll() is not None:
            return {}
        try:
            known = psutil.Process(process.pid)
            return {
                "resident": known.memory_info().rss,
                "descriptors": known.num_fds(),
                "threads": known.num_threads(),
            }
        except (psutil.Error, OSError):
            return {}

    def rival(self) -> "LiveServer":
        """Another server on the same store, not started."""
        other = ChaosServer(self.folder / "rival", Disk(self.folder / "rival"))
        other.store = self.store
        other.environment["FAULTS_BROKEN"] = self.environment["FAULTS_BROKEN"]
        return other


def descriptors_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
