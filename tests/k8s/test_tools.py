"""What other tools read: the Tiltfile, the lines for Skaffold in docs/trainer.md, and the Kustomize base.

Only Kustomize is run, as a part of kubectl.
"""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from manifests import MAIN, REPO, objects, read, with_defaults

PROGRAMS = ("rng", "hasher", "webui", "worker")
IMAGES = {f"dockercoins-cpp/{name}": f"{name}/Dockerfile" for name in PROGRAMS}


def test_tilt_builds_each_image_from_all_that_its_dockerfile_copies():
    """A Tiltfile is Starlark, of which this one uses only what is Python, too."""
    builds, applied, forwards = {}, [], {}
    functions = {
        "docker_build": lambda ref, context, *, dockerfile, only: builds.update({ref: (context, dockerfile, only)}),
        "k8s_yaml": applied.append,
        "k8s_resource": lambda workload, *, port_forwards: forwards.update({workload: port_forwards})}
    exec(compile(read("Tiltfile"), "Tiltfile", "exec"), functions)
    assert {image: (".", dockerfile) for image, dockerfile in IMAGES.items()} == {
        image: build[:2] for image, build in builds.items()}
    assert applied == [MAIN]
    for _, dockerfile, only in builds.values():
        copied = re.findall(r"^COPY (?!--from)(.*)$", read(dockerfile), re.MULTILINE)
        sources = {source for line in copied for source in line.split()[:-1]}
        assert len(sources) >= 5
        assert {source for source in sources if not any(f"{source}/".startswith(f"{path}/") for path in only)} == set()
    ports = yaml.safe_load(with_defaults(read("docker-compose.yml")))["services"]
    assert forwards == {name: ports[name]["ports"][0] for name in PROGRAMS if "ports" in ports[name]}
    assert all(("Deployment", name) in objects(MAIN) for name in forwards)


def test_skaffold_builds_the_same():
    [text] = re.findall(r"```yaml\n(apiVersion: skaffold/.*?)```", read("docs/trainer.md"), re.DOTALL)
    config = yaml.safe_load(text)
    assert {each["image"]: each["docker"]["dockerfile"] for each in config["build"]["artifacts"]} == IMAGES
    assert config["manifests"]["rawYaml"] == [MAIN]


with_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


def kustomized(folder):
    """The objects, by kind and name."""
    shown = subprocess.run(["kubectl", "kustomize", folder], text=True, capture_output=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(shown.stdout)}


@with_kubectl
def test_the_root_is_the_manifest():
    assert kustomized(REPO) == objects(MAIN)


@with_kubectl
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
