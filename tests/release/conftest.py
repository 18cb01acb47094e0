"""Programs that only pretend, and what all tests here share."""

import subprocess

import pytest

# Keeps its images as files NAME.ARCH in the folder IMAGES, a tag as the file NAME. A registry has those in REMOTE.
DOCKER = r"""#!/bin/bash
printf '%s\n' "docker $*" >>"$CALLS"
file() { printf '%s/%s' "$1" "${2//\//_}"; }
name=${*: -1}
case "$1 $2" in
  "version "*) echo amd64 ;;
  "info "*) echo '[[Backing Filesystem extfs]]' ;;
  "image inspect") [[ -e $(file "$IMAGES" "$name") ]] || { echo "Error: No such image: $name" >&2; exit 1; }
    if [[ $* == *Architecture* ]]; then cat "$(file "$IMAGES" "$name")"; else echo "id-of-$name"; fi ;;
  "pull "*) [[ $* == *--platform\ linux/* && $REMOTE == *" $name "* ]] || { echo "Error: not found" >&2; exit 1; }
    [[ $* =~ linux/([a-z0-9]+) ]]; echo "${BASH_REMATCH[1]}" >"$(file "$IMAGES" "$name")" ;;
  "tag "*) [[ $2 == id-of-* ]] || cp "$(file "$IMAGES" "$2")" "$(file "$IMAGES" "$3")" ;;
  "rmi "*) rm "$(file "$IMAGES" "$name")" ;;
  "save "*) shift; while [[ $1 != --output ]]; do shift; done
    for name in "${@:3}"; do echo "$name,$(<"$(file "$IMAGES" "$name")")"; done >"$2" ;;
  "load "*) cat "$3" ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""


class Machine:
    """A machine whose `docker`, `cosign` and `gh` are the ones above."""

    def __init__(self, folder):
        self.folder = folder
        self.images = folder / "images"
        self.calls = folder / "calls"
        self.images.mkdir()
        (folder / "bin").mkdir()
        self.install("docker", DOCKER)
        self.environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", "IMAGES": str(self.images), "REMOTE": "",
                            "CALLS": str(self.calls)}

    def install(self, name, text):
        (self.folder / "bin" / name).write_text(text)
        (self.folder / "bin" / name).chmod(0o755)

    def have(self, name, arch="amd64"):
        (self.images / name.replace("/", "_")).write_text(f"{arch}\n")

    def run(self, *command, cwd=None, **environment):
        return subprocess.run([str(word) for word in command], cwd=cwd or self.folder, text=True, capture_output=True,
                              timeout=60, check=False, env={**self.environment, **environment})


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)
