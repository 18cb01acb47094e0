"""What other tools read: the Tiltfile, and the lines for Skaffold in docs/trainer.md. None of the tools is run."""

import re

import yaml

from manifests import MAIN, objects, read, with_defaults

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
