from __future__ import annotations

import contextlib
import math

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from parlour.errors import BadSettings
from parlour.settings import INCOMING_POLICIES, Limits, Settings, load_settings


def of_toml(folder, text: str | bytes) -> Settings:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "parlour.toml").write_bytes(data)
    return load_settings(folder)


def of_environment(folder, **variables: str) -> Settings:
    return load_settings(folder, variables)


def test_without_a_file_and_variables_the_defaults_hold(tmp_path):
    assert load_settings(tmp_path) == Settings()


def test_the_current_folder_is_where_parlour_toml_is_looked_for(tmp_path, monkeypatch):
    (tmp_path / "parlour.toml").write_text("idle_after = 3")
    monkeypatch.chdir(tmp_path)

    assert load_settings().idle_after == 3.0


def test_the_file_overrides_the_defaults_and_the_environment_overrides_the_file(tmp_path):
    (tmp_path / "parlour.toml").write_text(
        'idle_after = 3\nincoming = "steer"\n[limits]\nthreads = 8\nresumptions = 1\n'
    )

    found = load_settings(
        tmp_path, {"PARLOUR_IDLE_AFTER": "4.5", "PARLOUR_LIMITS__THREADS": "9", "PATH": "/bin"}
    )

    assert found == Settings(
        idle_after=4.5, incoming="steer", limits=Limits(threads=9, resumptions=1)
    )


@pytest.mark.parametrize("word", ["", "none", "None", "NONE"])
def test_the_environment_can_say_never(tmp_path, word):
    (tmp_path / "parlour.toml").write_text("expire_after = 3")

    assert load_settings(tmp_path, {"PARLOUR_EXPIRE_AFTER": word}).expire_after is None


def test_flags_of_the_environment_are_true_or_false(tmp_path):
    assert of_environment(tmp_path, PARLOUR_DEVELOPMENT="true").development is True
    assert of_environment(tmp_path, PARLOUR_DEVELOPMENT="1").development is True
    assert of_environment(tmp_path, PARLOUR_DEVELOPMENT="0").development is False


def test_variables_of_other_parts_of_parlour_are_left_alone(tmp_path):
    variables = {"PARLOUR_SECRET": "x", "PARLOUR_STORE": "sqlite:///x.db"}

    assert load_settings(tmp_path, variables) == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("idle_after = ", "parlour.toml is not valid TOML"),
        (b"\xff", "parlour.toml is not valid TOML"),
        ("a = " + "[" * 5000 + "]" * 5000, "parlour.toml is not valid TOML"),
        ("idle_after = " + "9" * 5000, "parlour.toml is not valid TOML"),
        ("idle_after = 1\nidle_after = 2", "parlour.toml is not valid TOML"),
        ("idle = 1", "parlour.toml: .*unknown field `idle`.*docs/settings.md"),
        ("[limits]\nthread = 1", "unknown field `thread`"),
        ("limits = 1", "Expected `object`"),
        ('idle_after = "1"', "Expected `float`"),
        ("idle_after = 2026-11-21", "Expected `float`"),
        ("[limits]\nthreads = 1.5", "Expected `int`"),
        ('incoming = "drop"', "Invalid enum value 'drop'"),
        ("idle_after = -1", "idle_after must be a number from 0"),
        ("idle_after = nan", "idle_after must be a number from 0"),
        ("idle_after = inf", "idle_after must be a number from 0"),
        ("idle_after = " + "9" * 400, "idle_after"),
        ("[limits]\nvalue_bytes = -1", "value_bytes must be a number from 0"),
        ("[limits]\nvalue_bytes = " + "9" * 400, "value_bytes must be a number from 0"),
        ("[limits]\nthreads = 0", "threads must be at least 1"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path, text, problem):
    with pytest.raises(BadSettings, match=problem):
        of_toml(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "parlour.toml").write_text("")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)

    with pytest.raises(BadSettings, match=r"parlour\.toml cannot be read: Permission denied"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PARLOUR_IDLE", "1", "'PARLOUR_IDLE' is no setting of Parlour; see docs/settings.md"),
        ("PARLOUR_", "1", "no setting"),
        ("PARLOUR_LIMITS", "1", "no setting"),
        ("PARLOUR_LIMITS__", "1", "no setting"),
        ("PARLOUR_LIMITS__THREAD", "1", "no setting"),
        ("PARLOUR_OTHER__THREADS", "1", "no setting"),
        ("PARLOUR_\ud800", "1", "no setting"),
        ("PARLOUR_IDLE_AFTER", "soon", "PARLOUR_IDLE_AFTER='soon' does not fit"),
        ("PARLOUR_IDLE_AFTER", "", "does not fit"),
        ("PARLOUR_IDLE_AFTER", "nan", "does not fit"),
        ("PARLOUR_IDLE_AFTER", "-1", "does not fit"),
        ("PARLOUR_IDLE_AFTER", "1e999", "does not fit"),
        ("PARLOUR_IDLE_AFTER", "\ud800", "does not fit"),
        ("PARLOUR_LIMITS__THREADS", "9" * 5000, "does not fit"),
        ("PARLOUR_LIMITS__THREADS", "0", "threads must be at least 1"),
        ("PARLOUR_DEVELOPMENT", "perhaps", "does not fit"),
        ("PARLOUR_INCOMING", "drop", "does not fit"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(tmp_path, name, value, problem):
    with pytest.raises(BadSettings, match=problem) as caught:
        of_environment(tmp_path, **{name: value})

    assert len(str(caught.value)) < 400


def test_settings_made_in_python_are_held_to_the_same():
    with pytest.raises(ValueError, match="idle_after must be a number from 0"):
        Settings(idle_after=math.nan)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        Limits(threads=0)
    with pytest.raises(ValueError, match="upload_bytes"):
        Limits(upload_bytes=-1)


def test_every_limit_is_a_number_that_holds():
    for field in msgspec.structs.fields(Limits):
        assert field.type in (int, float)
        assert field.default > 0 or field.name == "processes"  # as many as the machine has cores


def test_the_policies_for_messages_in_a_running_round_are_those_of_the_design():
    assert set(INCOMING_POLICIES) == {"queue", "steer", "interrupt", "refuse"}


keys = st.sampled_from([*Settings.__struct_fields__, *Limits.__struct_fields__, "zzz", "limits.a"])
toml_values = st.sampled_from(
    ["1", "-1", "1.5", "inf", "nan", "true", '"a"', '""', "[]", "{}", "2026-11-21", "0x1", "9" * 99]
)
lines = st.tuples(keys, toml_values).map(" = ".join) | st.sampled_from(["[limits]", "[[limits]]"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60) | st.lists(lines, max_size=5).map(lambda all_: "\n".join(all_).encode())
)
@example(b"a = " + b"[" * 3000)
@example(b"a" + b".a" * 5000 + b" = 1")
def test_any_file_gives_settings_or_says_what_is_wrong(tmp_path, data):
    with contextlib.suppress(BadSettings):
        assert isinstance(of_toml(tmp_path, data), Settings)


variables = st.dictionaries(
    st.text(st.characters(), max_size=12).map("PARLOUR_{}".format)
    | st.sampled_from(Settings.__struct_fields__).map("PARLOUR_{}".format).map(str.upper)
    | st.sampled_from(Limits.__struct_fields__).map("PARLOUR_LIMITS__{}".format).map(str.upper),
    st.text(st.characters(), max_size=12)
    | st.sampled_from(["", "None", "1", "-1", "1_0", "1e400", "nan", "inf", "true", "queue", "١"]),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(variables)
def test_any_environment_gives_settings_or_says_what_is_wrong(tmp_path, environment):
    with contextlib.suppress(BadSettings):
        assert isinstance(load_settings(tmp_path, environment), Settings)
