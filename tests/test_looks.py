"""`[looks]` in parlour.toml: what is there is served, what is wrong is said at the start."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import parlour
from parlour.errors import BadSettings
from parlour.settings import Settings, load_settings
from parlour.web import WebApplication, load_looks


class Visitor:
    """Asks an application in this process, one request at a time."""

    def __init__(self, web: WebApplication, runner: asyncio.Runner) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=web), base_url="http://house.example"
        )
        self._runner = runner

    def get(self, address: str, **options) -> httpx.Response:
        return self._runner.run(self._client.get(address, **options))

    def leave(self) -> None:
        self._runner.run(self._client.aclose())


@contextmanager
def visiting(web: WebApplication) -> Iterator[Visitor]:
    with asyncio.Runner() as runner:
        life = web.lifespan(None)
        runner.run(life.__aenter__())
        visitor = Visitor(web, runner)
        try:
            yield visitor
        finally:
            visitor.leave()
            runner.run(life.__aexit__(None, None, None))


LOGO = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def dress(tmp_path: Path):
    (tmp_path / "logo.svg").write_text(LOGO)
    (tmp_path / "own.css").write_text(".head { border: 0; }")
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "room-map.js").write_text("export default () => {};")

    def load(toml: str):
        (tmp_path / "parlour.toml").write_text(toml)
        return load_looks(tmp_path)

    return load


def test_without_a_table_it_looks_as_it_does(tmp_path: Path):
    plain = load_looks(tmp_path)
    assert (plain.stylesheet, plain.files, plain.components) == (None, {}, {})


def test_the_settings_of_the_same_file_are_read_beside(dress, tmp_path: Path):
    dress('idle_after = 3\n[looks]\nname = "Desk"\n')
    assert load_settings(tmp_path) == Settings(idle_after=3)


def test_looks_are_served_under_the_strict_policy(dress):
    looks = dress(
        """
        [looks]
        name = "The <b>desk</b>"
        welcome = "**Welcome**"
        logo = "logo.svg"
        accent = ["#123456", "#abcdef"]
        page = "white"
        radius = "0px"
        font = "Inter, 'Segoe UI'"
        style = "own.css"
        components = "components"
        feedback = true
        [looks.texts]
        begin = "Ask away."
        [looks.texts.de]
        begin = "Fragen Sie."
        """
    )
    with visiting(WebApplication(parlour.App(), store="memory:", looks=looks)) as client:
        page = client.get("/")
        assert "The &lt;b&gt;desk&lt;/b&gt;" in page.text
        assert "'unsafe" not in page.headers["content-security-policy"]
        offer = client.get("/app").json()
        assert offer["title"] == "The <b>desk</b>"
        assert offer["texts"] == {"": {"begin": "Ask away."}, "de": {"begin": "Fragen Sie."}}
        assert (offer["components"], offer["feedback"]) == (["room-map"], True)
        sheet = client.get("/looks.css")
        assert "--parlour-accent: light-dark(#123456, #abcdef);" in sheet.text
        assert "--parlour-page: white;" in sheet.text
        assert ".head { border: 0; }" in sheet.text
        logo = client.get(f"/{offer['logo']}")
        assert logo.text == LOGO
        assert "sandbox" in logo.headers["content-security-policy"]
        again = client.get(f"/{offer['logo']}", headers={"If-None-Match": logo.headers["etag"]})
        assert again.status_code == 304
        module = client.get("/components/room-map.js")
        assert module.headers["content-type"].startswith("text/javascript")
        frame = client.get("/components/room-map")
        policy = frame.headers["content-security-policy"]
        assert "sandbox allow-scripts" in policy
        assert "connect-src" not in policy  # so that default-src 'none' holds
        for missing in ("/components/other", "/components/other.js", "/looks/other"):
            assert client.get(missing).status_code == 404


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[looks]\ncolour = 1", "unknown field `colour`"),
        ('[looks]\naccent = "red; } body { display: none"', "is no colour"),
        ('[looks]\naccent = ["#fff", "url(x)"]', "is no colour"),
        ('[looks]\nfont = "a; b"', "list of fonts"),
        ('[looks]\nradius = "calc(1px)"', "write a length"),
        ('[looks]\nlogo = "missing.png"', "but there is no"),
        ('[looks]\nlogo = "../../etc/passwd"', "outside of the app's folder"),
        ('[looks]\nlogo = "own.css"', "which is no picture"),
        ('[looks]\ncomponents = "own.css"', "which is no folder"),
        ('[looks.texts]\nbegn = "x"', "nearest is 'begin'"),
        ('[looks.texts.de]\nbegn = "x"', "nearest is 'begin'"),
        ("[looks", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(dress, toml: str, complaint: str):
    with pytest.raises(BadSettings, match=complaint):
        dress(toml)


def test_a_component_with_a_name_that_none_can_have_is_refused(dress, tmp_path: Path):
    (tmp_path / "components" / "Room Map.js").write_text("")
    with pytest.raises(BadSettings, match="cannot name a component"):
        dress('[looks]\ncomponents = "components"')


def test_a_file_that_is_too_large_is_refused(dress, tmp_path: Path):
    (tmp_path / "large.png").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(BadSettings, match="at most 1,048,576"):
        dress('[looks]\nlogo = "large.png"')


def test_starters_that_fail_are_none_and_the_others_are_counted():
    app = parlour.App()

    @app.starters
    def many():
        return [str(number) for number in range(30)]

    broken = app.profile("broken")

    @broken.starters
    def fail(visitor):
        raise RuntimeError(visitor.id)

    with visiting(WebApplication(app, store="memory:")) as client:
        assert len(client.get("/app").json()["starters"]) == 12


def test_settings_of_a_class_without_defaults_are_the_authors_mistake():
    app = parlour.App()

    class Bad:
        pass

    with pytest.raises(TypeError):
        app.settings(Bad)
