"""One kernel: what it says, how it is stopped, and what it keeps."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from rig import Rig, inside_processes

from parlour.errors import KernelDied
from parlour.kernels.kernel import (
    Cleared,
    Displayed,
    Ended,
    Output,
    Printed,
    Raised,
    Returned,
    Updated,
)

promise = pytest.mark.promise


def test_a_cell_gives_its_value_and_how_it_ended(rig: Rig) -> None:
    kernel = rig.start()

    outputs = rig.cell(kernel, "1 + 1")

    assert outputs == [
        Returned(data={"text/plain": "2"}, execution_count=1),
        Ended(status="ok", execution_count=1),
    ]


def test_variables_stay_from_cell_to_cell(rig: Rig) -> None:
    kernel = rig.start()

    rig.cell(kernel, "x = 40")

    assert rig.value(kernel, "x + 2") == "42"


def test_what_is_printed_comes_before_what_is_displayed_after_it(rig: Rig) -> None:
    kernel = rig.start()
    code = "for i in range(3):\n  print(i)\n  display(i)\nimport os; os.system('echo shell'); 4"

    outputs = rig.cell(kernel, code)

    said = [o.text if isinstance(o, Printed) else f"{_plain(o)}\n" for o in outputs[:-1]]
    assert "".join(said).split() == ["0", "0", "1", "1", "2", "2", "shell", "4"]


def _plain(output: Output) -> str:
    assert isinstance(output, Displayed | Returned)
    return output.data["text/plain"]


def test_errors_go_to_stderr_and_come_with_a_trace(rig: Rig) -> None:
    kernel = rig.start()

    assert rig.printed(kernel, "import sys; print('oh', file=sys.stderr)", "stderr") == "oh\n"
    raised = next(o for o in rig.cell(kernel, "1 / 0") if isinstance(o, Raised))

    assert raised.ename == "ZeroDivisionError"
    assert "1 / 0" in "\n".join(raised.traceback)


@pytest.mark.parametrize("code", ["(", "def f(:", "%no_such_magic", "!false", "raise SystemExit"])
def test_wrong_code_ends_and_the_next_cell_runs(rig: Rig, code: str) -> None:
    kernel = rig.start()

    rig.cell(kernel, code)

    assert rig.value(kernel, "1 + 1") == "2"


def test_displays_are_bundles_that_can_be_updated_and_cleared(rig: Rig) -> None:
    kernel = rig.start()
    code = """
from IPython.display import HTML, clear_output, display
handle = display(HTML("<b>1</b>"), display_id="a")
handle.update(HTML("<b>2</b>"))
clear_output(wait=True)
"""
    first, update, clear, _ = rig.cell(kernel, code)

    assert isinstance(first, Displayed)
    assert first.data["text/html"] == "<b>1</b>"
    assert first.transient == {"display_id": "a"}
    assert isinstance(update, Updated)
    assert update.data["text/html"] == "<b>2</b>"
    assert clear == Cleared(wait=True)


def test_characters_that_come_in_two_pieces_are_whole(rig: Rig) -> None:
    kernel = rig.start()
    code = "import os\nfor byte in '€'.encode(): os.write(1, bytes([byte]))"

    assert rig.printed(kernel, code) == "€"


def test_what_is_printed_is_shown_while_the_cell_runs(rig: Rig) -> None:
    kernel = rig.start()

    async def main() -> None:
        async for output in kernel.execute("print('now')\nimport time\nwhile True: time.sleep(9)"):
            if isinstance(output, Printed):
                assert output.text == "now\n"
                await kernel.interrupt()

    rig.run(main())
    assert rig.value(kernel, "2") == "2"


@promise("P14")
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(999)",
        "!sleep 999",
        "import subprocess; subprocess.run(['sleep', '999'])",
    ],
)
def test_an_interrupt_ends_a_cell_and_leaves_the_kernel(rig: Rig, code: str) -> None:
    kernel = rig.start()
    rig.cell(kernel, "x = 1")

    async def main() -> Ended:
        started = asyncio.Event()

        async def stop() -> None:
            await started.wait()
            await asyncio.sleep(0.1)
            await kernel.interrupt()

        stopper = asyncio.create_task(stop())
        async for output in kernel.execute(f"print('begun', flush=True)\n{code}"):
            if isinstance(output, Printed):
                started.set()
            if isinstance(output, Ended):
                await stopper
                return output
        raise AssertionError

    assert rig.run(main()).status in ("interrupted", "ok")
    assert rig.value(kernel, "x") == "1"


def test_an_interrupt_between_cells_does_nothing(rig: Rig) -> None:
    kernel = rig.start()
    rig.run(kernel.interrupt())

    assert rig.value(kernel, "1 + 1") == "2"


@promise("P13")
@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(1)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_a_kernel_that_ends_says_so_and_its_neighbour_goes_on(rig: Rig, code: str) -> None:
    kernel, neighbour = rig.start(), rig.start()
    rig.cell(neighbour, "x = 1")

    status = rig.status(kernel, code)

    if status != "killed":
        # Process 1 of a namespace cannot be killed from within.
        assert "SIGKILL" in code
    else:
        with pytest.raises(KernelDied, match="start a new one"):
            rig.cell(kernel, "1")
        rig.run(kernel.restart())
        assert rig.value(kernel, "2") == "2"
    assert rig.value(neighbour, "x") == "1"


@promise("P1")
def test_two_kernels_with_equal_names_never_meet(rig: Rig) -> None:
    one, other = rig.start(), rig.start()
    for kernel, word in ((one, "'one'"), (other, "'other'")):
        code = f"x = {word}\nopen('x.txt', 'w').write(x)\nimport tempfile, os\n"
        code += "open(tempfile.gettempdir() + '/shared', 'w').write(x)\nos.environ['WHO'] = x"
        assert rig.status(kernel, code) == "ok"

    look = "import tempfile, os; (x, open('x.txt').read(), os.environ['WHO'], "
    look += "open(tempfile.gettempdir() + '/shared').read(), os.getcwd() != '')"
    assert rig.value(one, look) == "('one', 'one', 'one', 'one', True)"
    assert rig.value(other, look) == "('other', 'other', 'other', 'other', True)"


def test_each_kernel_draws_other_random_numbers(rig: Rig) -> None:
    code = "import random, uuid; (random.random(), str(uuid.uuid4()))"

    assert rig.value(rig.start(), code) != rig.value(rig.start(), code)


def test_a_kernel_has_one_thread_and_the_server_too(rig: Rig) -> None:
    kernel = rig.start()

    assert rig.value(kernel, "import os; len(os.listdir('/proc/self/task'))") == "1"
    for process in inside_processes():
        assert process.num_threads() == 1


@promise("P11")
def test_a_closed_kernel_leaves_no_process(rig: Rig) -> None:
    kernel = rig.start()
    spawn = "import subprocess\nfor _ in range(5):\n"
    spawn += "  subprocess.Popen('sleep 4711 & sleep 4711', shell=True)"
    rig.cell(kernel, spawn)
    rig.run(kernel.close())

    rig.run(_until(lambda: _with_word("4711") == []))


def _with_word(word: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline", "status"]):
        about: dict[str, Any] = process.info
        if word in (about["cmdline"] or []) and about["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


# -- what it keeps ----------------------------------------------------------------------------

THINGS = """
import collections, dataclasses, functools, re, threading
number, text, many = 1, "ä", [1, {"a": (2, 3)}]
alias = many
def double(x): return factor * x
factor = 2
triple = lambda x: 3 * x
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
point = Point(1)
@dataclasses.dataclass
class Card: name: str
card = Card("a")
part = functools.partial(double, 4)
pattern = re.compile("a+")
counter = collections.Counter("aab")
lock = threading.Lock()
generator = (i for i in range(3))
opened = open("a.txt", "w")
"""


@promise("P10")
def test_variables_come_back_in_a_fresh_kernel_and_what_is_lost_is_named(rig: Rig) -> None:
    kernel = rig.start()
    assert rig.status(kernel, THINGS) == "ok"

    saved = rig.run(kernel.snapshot())
    rig.run(kernel.restart())
    assert rig.value(kernel, "number").startswith("NameError")
    found = rig.run(kernel.restore())

    assert set(saved.lost) == {"lock", "generator", "opened"}
    assert "generator" in saved.lost["generator"]
    assert found.names == saved.names
    assert found.lost == saved.lost
    code = "(number, text, many, alias is many, double(4), triple(2), point == Point(1), "
    code += "card == Card('a'), part(), pattern.match('aa').end(), counter['a'])"
    assert rig.value(kernel, code) == (
        "(1, 'ä', [1, {'a': (2, 3)}], True, 8, 6, True, True, 8, 2, 2)"
    )
    # It goes on in the log's own numbering, and functions see what names mean now.
    assert rig.value(kernel, "factor = 10; double(4)") == "40"


def test_a_kernel_without_anything_kept_says_so(rig: Rig) -> None:
    assert rig.run(rig.start().restore()) is None


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_what_was_kept_and_cannot_be_read_is_said_and_the_kernel_works(
    rig: Rig, damage: str
) -> None:
    place = rig.place()
    kernel = rig.start(place)
    rig.cell(kernel, "x = bytearray(100_000)")
    rig.run(kernel.snapshot())
    kept = place.state / "variables"
    data = kept.read_bytes()
    kept.write_bytes({"cut": data[:-50_000], "foreign": b"x" * 99, "empty": b""}[damage])
    rig.run(kernel.restart())

    with pytest.raises(Exception, match=r"could not do it"):
        rig.run(kernel.restore())

    assert rig.value(kernel, "1 + 1") == "2"


def test_a_variable_whose_class_cannot_be_loaded_is_named(rig: Rig) -> None:
    place = rig.place()
    kernel = rig.start(place)
    rig.cell(kernel, "open('mine.py', 'w').write('class A: pass')\nimport mine\na = mine.A()")
    rig.run(kernel.snapshot())
    (place.work / "mine.py").unlink()
    rig.run(kernel.restart())

    found = rig.run(kernel.restore())

    assert "mine" in found.lost["a"]


# -- the server -------------------------------------------------------------------------------


@promise("P11")
def test_killing_the_fork_server_ends_its_kernels_and_the_next_one_has_a_new_server(
    tmp_path: Path, rig: Rig
) -> None:
    own = Rig(tmp_path / "places", rig.settings)
    try:
        kernel = own.start()
        own.cell(kernel, "import subprocess; subprocess.Popen(['sleep', '4712'])")
        before = own.run(own.host.warm_up())
        os.kill(before.pid, signal.SIGKILL)
        own.run(before.gone.wait())
        own.run(_until(lambda: not kernel.alive))
        if rig.host.level == "full":
            own.run(_until(lambda: _with_word("4712") == []))

        assert own.value(own.start(), "1 + 1") == "2"
    finally:
        own.close()
        for process in _with_word("4712"):
            process.kill()


def test_what_every_kernel_is_to_have_imported_is_imported(tmp_path: Path, rig: Rig) -> None:
    from msgspec.structs import replace

    own = Rig(tmp_path / "places", replace(rig.settings, preload=("wave", "no_such_module")))
    try:
        assert own.value(own.start(), "import sys; 'wave' in sys.modules") == "True"
    finally:
        own.close()
