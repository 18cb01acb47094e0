"""What other tools read: the Tiltfile, the lines for Skaffold in docs/trainer.md, and the Kustomize base."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from manifests import MAIN, REPO, objects, read

DOCKERFILES = {f"dockercoins-cpp/{name}": f"{name}/Dockerfile" for name in ("rng", "hasher", "webui", "worker")}


def test_tilt_builds_each_image_from_all_that_its_dockerfile_copies():
    """A Tiltfile is Starlark, of which this one uses only what is Python, too."""
    builds, applied, forwards = {}, [], {}
    exec(compile(read("Tiltfile"), "Tiltfile", "exec"), {
        "docker_build": lambda ref, context, *, dockerfile, only: builds.update({ref: (context, dockerfile, only)}),
        "k8s_yaml": applied.append,
        "k8s_resource": lambda workload, *, port_forwards: forwards.update({workload: port_forwards})})
    assert {image: build[:2] for image, build in builds.items()} == {
        image: (".", dockerfile) for image, dockerfile in DOCKERFILES.items()}
    assert (applied, forwards) == ([MAIN], {"rng": "8001:80", "hasher": "8002:80", "webui": "8000:80"})
    for _, dockerfile, only in builds.values():
        sources = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", read(dockerfile), re.MULTILINE)).split()
        assert len(sources) >= 5
        assert all(any(f"{source}/".startswith(f"{path}/") for path in only) for source in sources)


def test_skaffold_builds_the_same():
    [text] = re.findall(r"```yaml\n(apiVersion: skaffold/.*?)```", read("docs/trainer.md"), re.DOTALL)
    config = yaml.safe_load(text)
    assert {each["image"]: each["docker"]["dockerfile"] for each in config["build"]["artifacts"]} == DOCKERFILES
    assert config["manifests"]["rawYaml"] == [MAIN]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_changes_registry_tag_namespace_and_replicas_and_nothing_else(tmp_path):
    """With the overlay of the guide, in a folder outside the tree; with none, the root is the manifest."""
    def kustomized(folder):
        shown = subprocess.check_output(["kubectl", "kustomize", folder], timeout=60)
        return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(shown)}

    expected = objects(MAIN)
    assert kustomized(REPO) == expected
    [overlay] = re.findall(r"```yaml\n(resources: .*?)```", read("docs/trainer.md"), re.DOTALL)
    base = os.path.relpath(REPO, os.path.realpath(tmp_path))
    (tmp_path / "kustomization.yaml").write_text(overlay.replace("../dockercoins-cpp", base))
    for (kind, name), each in expected.items():
        each["metadata"]["namespace"] = "group1"
        if kind == "Deployment" and name != "redis":
            each["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry.example.com/me/{name}:v0.2"
    expected["Deployment", "worker"]["spec"]["replicas"] = 10
    assert kustomized(tmp_path) == expected
