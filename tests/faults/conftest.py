"""Where these tests can run: faults are put in by the means of Linux."""

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


def pytest_report_header() -> str:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from faults.disks import disk_at

    with TemporaryDirectory() as folder:
        disk = disk_at(Path(folder) / "disk")
        disk.close()
    return f"faults: the disk can be {', '.join(sorted(disk.faults)) or 'limited only'}"
