"""A session's kernel as handlers have it: cells run once, bounded; the session outlives them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from rig import inside_processes

import parlour
from parlour.engine import Engine
from parlour.engine.local import AsyncLocalSession, AsyncRunning
from parlour.events import (
    CellWritten,
    Delta,
    MessageAdded,
    PartBegun,
    PartEnded,
    PartStreamed,
    Record,
    StepFinished,
)
from parlour.kernels.backends import host_for
from parlour.kernels.cell import Cell
from parlour.kernels.kernel import Place, Printed
from parlour.kernels.seats import Kernels
from parlour.settings import KernelSettings
from parlour.stores.files import Files
from parlour.stores.sqlite import SqliteStore

promise = pytest.mark.promise

SMALL = KernelSettings(
    preload=(),
    memory_bytes=256 * 2**20,
    file_bytes=64 * 2**20,
    workspace_bytes=32 * 2**20,
    processes=24,
    cell_seconds=30.0,
    interrupt_seconds=1.0,
)
SECONDS = 90.0


def runner_app() -> tuple[parlour.App, list[Cell]]:
    """An app that runs what it is told, and the cells that came of it."""
    app, cells = parlour.App(), list[Cell]()

    @app.on_message
    async def run(session: parlour.Session, message: parlour.Message) -> None:
        cell = await session.kernel.execute(message.text, files=message.files)
        cells.append(cell)
        session.kernel.show(cell)

    return app, cells


@asynccontextmanager
async def running(
    app: parlour.App, folder: Path, kernels: KernelSettings = SMALL
) -> AsyncGenerator[AsyncRunning]:
    engine = Engine(
        app,
        SqliteStore(folder / "house.db"),
        files=Files(folder / "files"),
        secret=b"k" * 32,
        settings=parlour.Settings(development=True, kernels=kernels),
    )
    async with engine:
        yield AsyncRunning(engine)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(SECONDS):
            return await coroutine

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


class House:
    """One engine for many tests, and a session of each test's own."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.app, self.cells = runner_app()
        self.folder = folder
        self._context = running(self.app, folder)
        self.local = self.run(self._context.__aenter__())
        self.session: AsyncLocalSession = self.run(self.local.get_session())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(SECONDS):
                return await coroutine

        return self.runner.run(bounded())

    def new_session(self) -> None:
        self.session = self.run(self.local.get_session())

    def cell(self, code: str) -> Cell:
        result = self.run(self.session.send_message(code))
        assert result.status == "done", result
        return self.cells[-1]

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()


@pytest.fixture
def house(shared: House) -> House:
    shared.new_session()
    return shared


def work_of(house: House) -> Path:
    return house.folder / "files" / house.session.id / "kernel" / "work"


# -- what a cell gives ------------------------------------------------------------------------


def test_a_cell_has_what_it_printed_its_value_and_its_variables_stay(house: House) -> None:
    house.cell("x = 20\nprint('hello')")
    cell = house.cell("print('again'); 2 * x + 2")

    assert (cell.status, cell.stdout, cell.result, cell.text) == (
        "ok",
        "again\n",
        "42",
        "again\n42\n",
    )


def test_an_error_is_no_failure_of_the_round(house: House) -> None:
    cell = house.cell("1 / 0")

    assert cell.status == "error"
    assert cell.reason == "ZeroDivisionError: division by zero"
    assert cell.error is not None
    assert cell.error.ename == "ZeroDivisionError"


def test_pictures_and_written_files_are_files_of_the_session(house: House) -> None:
    code = """
from IPython.display import Image, display
png = bytes.fromhex("89504e470d0a1a0a") + b"x" * 100
display(Image(data=png, format="png"))
open("table.csv", "w").write("a,b")
import os; os.mkdir("deep"); open("deep/other.txt", "w").write("x")
os.symlink("/etc/passwd", "passwd.txt"); os.mkfifo("pipe"); open(".hidden", "w").close()
"""
    cell = house.cell(code)

    (picture,) = cell.pictures
    assert (picture.name, picture.type, picture.size) == ("figure-1.png", "image/png", 108)
    assert [(ref.name, ref.type) for ref in cell.files] == [
        ("table.csv", "text/csv"),
        ("other.txt", "text/plain"),
    ]
    history = house.run(house.session.history())
    assert {file.name for file in history[-1].files} == {
        "figure-1.png",
        "table.csv",
        "other.txt",
    }
    assert house.cell("open('table.csv', 'a').write('c')").files[0].size == 4


def test_a_file_of_the_user_lies_beside_the_code(house: House) -> None:
    house.cell("import os; os.symlink('/etc/hostname', 'data.csv')")

    beside = house.folder / "data.csv"
    beside.write_text("1,2")
    code = "print(open('data.csv').read())"
    house.run(house.session.send_message(code, files=[{"path": beside}]))

    assert house.cells[-1].stdout == "1,2\n"
    assert not (work_of(house) / "data.csv").is_symlink()


def test_what_is_too_large_for_the_log_goes_into_a_file(house: House) -> None:
    code = "from IPython.display import HTML\nHTML('<p>' + 'x' * 100_000 + '</p>')"
    (shown, *_) = house.cell(code).outputs

    assert shown.files["text/html"].size == 100_007  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["'\\x00' * 10**6", "'\\x1b' * 10**6", "'\\ud800'", "'ä' * 10**6"])
def test_strange_text_is_kept_as_far_as_it_can_be(house: House, text: str) -> None:
    assert house.cell(f"print({text})").ok
    assert house.cell("1 + 1").result == "2"


# -- what it may not do -----------------------------------------------------------------------


@promise("P12")
def test_endless_output_is_cut_and_ends_with_the_time_of_the_cell(tmp_path: Path) -> None:
    async def main() -> None:
        app, cells = runner_app()
        async with running(app, tmp_path, replace(SMALL, cell_seconds=1.0)) as local:
            session = await local.get_session()
            await session.send_message("while True: print('x' * 1000)")
            await session.send_message("1 + 1")
        assert cells[0].status == "timeout"
        assert cells[0].cut > 0
        assert len(cells[0].stdout) < 70_000
        assert "left out" in cells[0].stdout
        assert cells[1].result == "2"

    run(main())


@promise("P12")
def test_running_out_of_memory_is_said_and_the_session_goes_on(house: House) -> None:
    house.cell("x = 1")
    assert house.cell("held = bytearray(2**30)").status == "out_of_memory"
    assert house.cell("x").result == "1"


@promise("P12")
def test_memory_of_many_processes_is_counted_together(house: House) -> None:
    house.cell("x = 1")
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(os.urandom(1) * (120 * 2**20)); time.sleep(99); os._exit(0)
time.sleep(99)
"""
    cell = house.cell(code)

    assert cell.status == "out_of_memory"
    assert "memory" in cell.reason
    after = house.cell("x")
    assert (after.result, after.fresh, after.restored) == ("1", True, ("x",))


@promise("P12")
def test_a_fork_bomb_stays_in_its_kernel(house: House) -> None:
    house.cell("x = 1")
    code = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"

    async def bomb() -> None:
        task = asyncio.create_task(house.session.send_message(code))
        await asyncio.sleep(1.0)
        await house.session.stop()
        await asyncio.gather(task, return_exceptions=True)

    house.run(bomb())
    assert house.cell("x").result == "1"
    assert len(inside_processes()) < 24


@promise("P12")
def test_a_full_workspace_is_said_and_can_be_emptied(house: House) -> None:
    code = "for i in range(99):\n  open(f'{i}.bin', 'wb').write(bytes(2**22))\n"
    code += "  import time; time.sleep(0.02)"
    cell = house.cell(code)

    assert cell.status == "workspace_full"
    assert "remove some" in cell.reason
    assert house.cell("import glob, os\nfor f in glob.glob('*.bin'): os.remove(f)").ok
    assert house.cell("open('small.txt', 'w').write('x')").ok


@promise("P13")
def test_a_kernel_that_is_killed_is_followed_by_one_with_its_variables(house: House) -> None:
    house.cell("x = 1")
    dead = house.cell("x = 2\nimport os; os._exit(1)")
    after = house.cell("x")

    assert dead.status == "killed"
    assert "*" in dead.lost
    assert (after.result, after.fresh, after.restored) == ("1", True, ("x",))


def test_what_cannot_be_kept_is_named(house: House) -> None:
    assert set(house.cell("x = 1\ng = (i for i in [])").lost) == {"g"}


@promise("P14")
def test_a_stopped_round_ends_its_cell_and_leaves_the_variables(house: House) -> None:
    house.cell("x = 1")

    async def main() -> Any:
        code = "import time\nprint('begun', flush=True)\nx = 2\ntime.sleep(99)"
        task = asyncio.create_task(house.session.send_message(code))
        async for item in house.local.engine.events(house.session.id):
            if isinstance(item, PartStreamed) and "begun" in item.text:
                break
        await house.session.stop()
        return await task

    assert house.run(main()).status == "stopped"
    began = time.monotonic()
    assert house.cell("x").result == "2"
    assert time.monotonic() - began < 60


@promise("P1")
def test_two_sessions_with_equal_names_never_meet(house: House) -> None:
    other = house.run(house.local.get_session(user="somebody else"))

    async def both() -> None:
        for number in range(5):
            for session in (house.session, other):
                word = session.id[:4]
                code = f"x = '{word}{number}'; open('x.txt', 'a').write(x); open('x.txt').read()"
                await session.send_message(code)
                assert "".join(f"{word}{n}" for n in range(number + 1)) in house.cells[-1].result

    house.run(both())


def _is_reply(event: object) -> bool:
    return isinstance(event, MessageAdded) and event.role == "bot"


# -- how it is recorded -----------------------------------------------------------------------


def test_the_log_has_the_code_and_what_came_of_it_and_what_is_printed_passes_by(
    house: House,
) -> None:
    async def main() -> list[Record | Delta]:
        task = asyncio.create_task(house.session.send_message("print('live'); 7"))
        seen: list[Record | Delta] = []
        async for item in house.local.engine.events(house.session.id):
            seen.append(item)
            if isinstance(item, Record) and _is_reply(item.event):
                break
        await task
        return seen

    seen = house.run(main())
    events = [item.event for item in seen if isinstance(item, Record)]
    deltas = [item for item in seen if isinstance(item, PartStreamed)]

    (begun,) = [event for event in events if isinstance(event, PartBegun)]
    assert (begun.path, begun.kind) == ("part:Code#1", "code")
    assert begun.input == "```python\nprint('live'); 7\n```"
    assert CellWritten(path="part:Code#1/code#1", code="print('live'); 7") in events
    (finished,) = [event for event in events if isinstance(event, StepFinished)]
    assert finished.path == "part:Code#1/cell#1"
    (ended,) = [event for event in events if isinstance(event, PartEnded)]
    assert (ended.status, ended.output) == ("done", "```text\nlive\n7\n```")
    assert {delta.path for delta in deltas} == {"part:Code#1"}
    assert "".join(delta.text for delta in deltas) == "```text\nlive\n"


@promise("P8")
def test_a_recorded_cell_is_not_run_again(tmp_path: Path) -> None:
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        cell = await session.kernel.execute("open('ran.txt', 'a').write('x')")
        answer = await session.ask("go on?")
        again = await session.kernel.execute("print(len(open('ran.txt').read()))")
        session.reply(f"{cell.status} {answer} {again.stdout.strip()}")

    async def main() -> None:
        async with running(app, tmp_path) as local:
            session = await local.get_session()
            assert (await session.send_message("go")).status == "waiting"
        async with running(app, tmp_path) as local:
            result = await (await local.get_session(session.id)).answer("yes")
            assert result.reply == "ok yes 1"

    run(main())


@promise("P10")
def test_variables_outlive_the_server(tmp_path: Path) -> None:
    async def main() -> None:
        app, cells = runner_app()
        async with running(app, tmp_path) as local:
            session = await local.get_session()
            await session.send_message("x = [1, 2]\ndef total(): return sum(x)")
        async with running(app, tmp_path) as local:
            await (await local.get_session(session.id)).send_message("x.append(3); total()")
        assert (cells[1].result, cells[1].fresh, cells[1].restored) == ("6", True, ("total", "x"))
        assert cells[1].execution_count == 2

    run(main())


@promise("P10")
def test_an_idle_kernel_is_put_to_rest_and_comes_back_with_its_variables(tmp_path: Path) -> None:
    async def main() -> None:
        app, cells = runner_app()
        settings = replace(SMALL, idle_seconds=0.05, checkpoint="rest")
        async with running(app, tmp_path, settings) as local:
            session = await local.get_session()
            await session.send_message("x = 5")
            await until(lambda: local.engine.cells.kernels.live == 0)
            await session.send_message("x")
        assert (cells[1].result, cells[1].restored) == ("5", ("x",))

    run(main())


@promise("P12")
def test_past_the_limit_the_kernel_used_longest_ago_rests(tmp_path: Path) -> None:
    async def main() -> None:
        app, cells = runner_app()
        async with running(app, tmp_path, replace(SMALL, live=2)) as local:
            sessions = [await local.get_session() for _ in range(3)]
            for number, session in enumerate(sessions):
                await session.send_message(f"x = {number}")
                assert local.engine.cells.kernels.live <= 2
            for session in sessions:
                await session.send_message("x")
        assert [cell.result for cell in cells[3:]] == ["0", "1", "2"]

    run(main())


@promise("P3")
def test_a_kernel_of_a_worker_that_had_the_session_before_is_not_used_again(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        place = Place(work=tmp_path / "a" / "work", state=tmp_path / "a" / "state")
        one, other = (Kernels(host_for, SMALL, lambda _: place, lambda: tmp_path) for _ in "ab")
        try:
            await one.run("a", "x = 1")
            await other.run("a", "x += 1")
            back = await one.run("a", "print(x)")
            assert back.fresh
            assert back.outputs == [Printed(name="stdout", text="2\n")]
            assert not (await one.run("a", "x")).fresh
        finally:
            await one.close()
            await other.close()

    run(main())


@promise("P11")
def test_closing_ends_the_kernel_and_erasing_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        app, _ = runner_app()
        async with running(app, tmp_path) as local:
            closed, erased = await local.get_session(), await local.get_session()
            for session in (closed, erased):
                await session.send_message("import os; os.mkdir('a'); os.chmod('a', 0)")
            await closed.close()
            await until(lambda: local.engine.cells.kernels.live == 1)
            await local.engine.erase(erased.id)
            assert local.engine.cells.kernels.live == 0
            assert not (tmp_path / "files" / erased.id).exists()

    run(main())


def test_a_plain_handler_has_the_same_words(tmp_path: Path) -> None:
    app = parlour.App()

    @app.on_message
    def talk(session: parlour.BlockingSession, message: parlour.Message) -> None:
        session.kernel.execute("x = 2")
        cell = session.kernel.execute("x + 1")
        session.kernel.restart()
        session.kernel.show(cell, "so:")
        session.reply(session.kernel.execute("x").reason)

    async def main() -> None:
        async with running(app, tmp_path) as local:
            result = await (await local.get_session()).send_message("go")
        assert result.replies == (
            "so:\n\n```text\n3\n```",
            "NameError: name 'x' is not defined",
        )

    run(main())


def test_where_code_cannot_be_confined_no_kernel_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parlour.kernels import levels

    monkeypatch.setattr(levels, "probe", lambda: levels.Found("no Landlock", "no namespaces"))
    app = parlour.App()

    @app.on_message
    async def talk(session: parlour.Session, message: parlour.Message) -> None:
        try:
            await session.kernel.execute("1")
        except parlour.StepFailed as failed:
            session.reply(f"{failed.type}: {failed.reason}")

    async def main() -> None:
        async with running(app, tmp_path) as local:
            result = await (await local.get_session()).send_message("go")
        assert result.reply.startswith("KernelUnavailable: code cannot be confined here")
        assert "no Landlock" in result.reply

    run(main())


# -- the server is killed ---------------------------------------------------------------------

SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import parlour, test_cells

app = parlour.App()

@app.on_message
async def talk(session, message):
    try:
        cell = await session.kernel.execute(message.text)
    except parlour.StepInterrupted:
        session.reply("interrupted")
        cell = await session.kernel.execute("(x, len(open('ran.txt').read()))")
    session.reply(cell.result)

async def main():
    async with test_cells.running(app, Path({folder!r})) as local:
        session = await local.get_session({session!r}) if {session!r} else await local.get_session()
        print(session.id, flush=True)
        if {session!r}:
            async for item in local.engine.events(session.id):
                event = getattr(item, "event", None)
                if type(event).__name__ == "RoundFinished" and event.round == 2:
                    break
            print("|".join(m.text for m in await session.history()), flush=True)
        else:
            await session.send_message("x = 1")
            await session.send_message({code!r})

asyncio.run(main())
"""
CODE = """
import subprocess, time
open('ran.txt', 'a').write('x')
subprocess.Popen(['sleep', '4713'])
open('begun', 'w').close()
time.sleep(4713)
"""


def _serve(folder: Path, session: str = "") -> subprocess.Popen[str]:
    code = SERVER.format(
        here=str(Path(__file__).parent), folder=str(folder), session=session, code=CODE
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@promise("P11")
@promise("P8")
def test_a_server_killed_in_mid_cell_leaves_no_process_and_does_not_run_it_again(
    tmp_path: Path,
) -> None:
    server = _serve(tmp_path)
    try:
        assert server.stdout is not None
        session = server.stdout.readline().strip()
        begun = tmp_path / "files" / session / "kernel" / "work" / "begun"
        _wait(begun.exists)
        inside = inside_processes(server.pid)
        assert inside
        os.kill(server.pid, signal.SIGKILL)
        _wait(lambda: not any(process.is_running() for process in inside))
        _wait(lambda: not _sleeping("4713"))
    finally:
        server.kill()
        server.communicate()
    again = _serve(tmp_path, session)
    try:
        told, _ = again.communicate(timeout=60)
    finally:
        again.kill()
        again.communicate()
    assert told.splitlines()[-1].endswith("|interrupted|(1, 1)")


def _sleeping(word: str) -> bool:
    for process in psutil.process_iter(["cmdline", "status"]):
        about: dict[str, Any] = process.info
        if word in (about["cmdline"] or []) and about["status"] != psutil.STATUS_ZOMBIE:
            return True
    return False


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to that in a minute"
        time.sleep(0.02)
