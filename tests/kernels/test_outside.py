"""Kernels from the command line, as notebooks, and of jupyter_client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from msgspec.structs import replace
from test_cells import SECONDS, SMALL, run, runner_app, running

from parlour.errors import KernelDied, KernelUnavailable
from parlour.kernels.backends import host_for
from parlour.kernels.kernel import Ended, Output, Place, Printed, Returned

PARLOUR = str(Path(sys.executable).with_name("parlour"))


def parlour(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PARLOUR, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )


def test_a_session_is_exported_as_a_valid_notebook(tmp_path: Path) -> None:
    code = """
from IPython.display import HTML, Image, display
print("hello")
display(Image(data=bytes.fromhex("89504e470d0a1a0a") + b"x" * 9, format="png"))
display(HTML("<p>" + "x" * 20_000))
6 * 7
"""

    async def talk() -> str:
        app, _ = runner_app()
        async with running(app, tmp_path, SMALL) as local:
            session = await local.get_session()
            await session.send_message(code)
            await session.send_message("1 / 0")
            return session.id

    session = run(talk())
    (tmp_path / "files").rename(tmp_path / "house.db.files")
    command = ("sessions", "export", "--notebook", session[:8], "out.ipynb")
    store = {"PARLOUR_STORE": f"sqlite:///{tmp_path}/house.db"}
    done = parlour(tmp_path, *command, **store)

    assert (done.returncode, done.stdout) == (0, "Wrote out.ipynb: 2 cells\n"), done.stderr
    book = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(book)
    first, second = [cell for cell in book.cells if cell.cell_type == "code"]
    assert first.source == code
    assert (first.execution_count, second.execution_count) == (1, 2)
    kinds = [output.output_type for output in first.outputs]
    assert kinds == ["stream", "display_data", "display_data", "execute_result"]
    assert first.outputs[1].data["image/png"].startswith("iVBORw0KGgp4")
    assert len(first.outputs[2].data["text/html"]) == 20_003
    assert second.outputs[0].ename == "ZeroDivisionError"
    said = next(cell for cell in book.cells if cell.cell_type == "markdown")
    assert said.source.startswith("**user:**")
    again = parlour(tmp_path, *command, **store)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_the_doctor_says_how_code_is_confined(tmp_path: Path) -> None:
    (tmp_path / "parlour.toml").write_text('[kernels]\npreload = []\nsandbox = "none"\n')
    done = parlour(tmp_path, "doctor")

    assert done.returncode == 0, done.stdout
    assert "sandbox: none (not confined" in done.stdout
    assert "kernels: a cell ran in" in done.stdout


def test_the_doctor_says_what_is_wrong_and_the_cure(tmp_path: Path) -> None:
    (tmp_path / "parlour.toml").write_text('[kernels]\npython = "/no/such/python"\n')
    done = parlour(tmp_path, "doctor")

    assert done.returncode == 1
    assert "there is no interpreter /no/such/python; mend `python`" in done.stdout


def test_a_kernel_of_jupyter_runs_keeps_and_stops(tmp_path: Path) -> None:
    settings = replace(SMALL, backend="jupyter", sandbox="none")

    async def main() -> None:
        host = host_for(settings, tmp_path)
        place = Place(work=tmp_path / "work", state=tmp_path / "state")
        for folder in (place.work, place.state):
            folder.mkdir()
        kernel = await host.start(place)
        try:

            async def cell(code: str) -> list[Output]:
                return [output async for output in kernel.execute(code)]

            assert await cell("x = 41\nprint('hello')\nx + 1") == [
                Printed(name="stdout", text="hello\n"),
                Returned(data={"text/plain": "42"}, execution_count=1),
                Ended(status="ok", execution_count=1),
            ]
            assert (await kernel.snapshot()).names == ("x",)
            await kernel.restart()
            found = await kernel.restore()
            assert found is not None
            assert found.names == ("x",)
            assert (await cell("x"))[0] == Returned(data={"text/plain": "41"}, execution_count=2)
            async for output in kernel.execute("print('on'); import time; time.sleep(99)"):
                if isinstance(output, Printed):
                    await kernel.interrupt()
                if isinstance(output, Ended):
                    assert output.status == "interrupted"
            ended = (await cell("import os; os._exit(1)"))[-1]
            assert ended == Ended(status="killed")
            with pytest.raises(KernelDied):
                await cell("1")
        finally:
            await kernel.close()
            await host.close()

    run(main())


def test_a_kernel_of_jupyter_is_refused_where_a_sandbox_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(KernelUnavailable, match="not sandboxed"):
        host_for(replace(SMALL, backend="jupyter"), tmp_path)
