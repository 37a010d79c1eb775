"""`parlour keys`: made once, listed without what they are, revoked at once."""

import os
import subprocess
import sys

import pytest

from parlour.errors import BadSettings, StoreCorrupt
from parlour.stores.address import keys_for
from parlour.stores.keys import Keys


def run(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "parlour", "keys", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_is_printed_once_and_opens_until_it_is_revoked(tmp_path):
    token = run(tmp_path, "new", "laptop", "--user", "ann").stdout.strip()
    keys = Keys(tmp_path / "parlour.db.keys")
    key = keys.find(token)
    assert key is not None
    assert (key.name, key.user, key.trusted) == ("laptop", "ann", False)
    assert keys.find(token[:-1] + ("a" if token[-1] != "a" else "b")) is None
    listed = run(tmp_path, "ls").stdout
    assert "laptop" in listed
    assert token not in listed
    assert key.digest not in run(tmp_path, "ls", "--json").stdout
    assert "there is a key called 'laptop'" in run(tmp_path, "new", "laptop").stderr
    assert run(tmp_path, "revoke", "laptop").returncode == 0
    assert keys.find(token) is None
    assert "`parlour keys ls` lists them" in run(tmp_path, "revoke", "laptop").stderr


def test_a_store_in_memory_has_the_key_of_the_environment(tmp_path, monkeypatch):
    assert "PARLOUR_API_KEY" in run(tmp_path, "new", "a", "--store", "memory:").stderr
    monkeypatch.setenv("PARLOUR_API_KEY", "x" * 24)
    keys = keys_for("memory:")
    found = keys.find("x" * 24)
    assert found is not None
    assert found.user == "key-env"
    assert keys.find("x" * 23) is None
    monkeypatch.setenv("PARLOUR_API_KEY", "short")
    with pytest.raises(BadSettings, match="24 characters"):
        keys_for("memory:")


def test_keys_have_names_and_a_damaged_file_says_so(tmp_path):
    keys = Keys(tmp_path / "keys")
    for name in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(BadSettings):
            keys.add(name)
    with pytest.raises(BadSettings):
        keys.add("a", user="x\ny")
    (tmp_path / "keys").write_text("{", encoding="utf-8")
    with pytest.raises(StoreCorrupt, match="make new ones"):
        keys.find("sk-parlour-000000000000-" + "a" * 43)
