"""The repository as a Kustomize base: what the overlay of docs/trainer.md makes of it. Skipped without kubectl."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from manifests import MAIN, REPO, objects, read

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


def kustomized(folder):
    """The objects, by kind and name."""
    shown = subprocess.run(["kubectl", "kustomize", folder], text=True, capture_output=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(shown.stdout)}


def test_the_root_is_the_manifest():
    assert kustomized(REPO) == objects(MAIN)


def test_the_guides_overlay_changes_registry_tag_namespace_and_replicas_and_nothing_else(tmp_path):
    """From a folder outside the tree."""
    [overlay] = re.findall(r"```yaml\n(resources: .*?)```", read("docs/trainer.md"), re.DOTALL)
    base = os.path.relpath(REPO, os.path.realpath(tmp_path))
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("../dockercoins-cpp", base))
    expected = objects(MAIN)
    for (kind, name), each in expected.items():
        each["metadata"]["namespace"] = "group1"
        if kind == "Deployment" and name != "redis":
            [container] = each["spec"]["template"]["spec"]["containers"]
            container["image"] = f"registry.example.com/me/{name}:v0.2"
    expected["Deployment", "worker"]["spec"]["replicas"] = 10
    assert kustomized(tmp_path) == expected
