"""The manifests say what they must: they are parsed here, not deployed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from parlour.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"


def documents(name: str) -> dict[str, dict]:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def test_a_pod_may_take_as_long_to_end_as_a_worker_may_need():
    pod = documents("kubernetes/workers.yaml")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    most = pause + 5 + 4 * Settings().limits.stop_seconds
    assert pod["terminationGracePeriodSeconds"] >= most
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_disruption_leaves_workers_and_the_selectors_agree():
    found = documents("kubernetes/workers.yaml")
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert found["Deployment"]["spec"]["replicas"] > 1


def test_nothing_runs_as_root():
    for name in ("workers", "migrate"):
        for document in documents(f"kubernetes/{name}.yaml").values():
            pod = document["spec"].get("template", {}).get("spec")
            if pod is not None:
                assert pod["securityContext"]["runAsNonRoot"] is True
    assert "USER parlour" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def _composes() -> bool:
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not _composes(), reason="no Docker with compose at hand")
def test_the_compose_file_is_one():
    command = ["docker", "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    environment = {"POSTGRES_PASSWORD": "x", "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl at hand")
def test_the_manifests_are_put_together():
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout)]
    assert sorted(kinds) == [
        "Deployment",
        "Job",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
    ]
