"""The four Dockerfiles are one text. (Each builder wants a whole file, and none can include another.)"""

import pathlib

from waiting import REPO

DELAY = ["# The simulated work. docker build --build-arg DELAY_MS=200 makes a slower one.", "ARG DELAY_MS=100",
         "ENV DELAY_MS=$DELAY_MS"]
OWN_LINES = {
    "hasher": ["COPY hasher hasher", "RUN scripts/image-files hasher /image", *DELAY, "EXPOSE 80"],
    "rng": ["COPY rng rng", "RUN scripts/image-files rng /image", *DELAY, "EXPOSE 80"],
    "webui": ["COPY webui/CMakeLists.txt webui/*.cpp webui/*.h webui/", "COPY webui/files /image/files",
              "RUN scripts/image-files webui /image \\",
              "    /usr/share/javascript/dygraphs/dygraph.min.js /usr/share/javascript/dygraphs/dygraph.min.css",
              "EXPOSE 80"],
    "worker": ["COPY worker worker", "RUN scripts/image-files worker /image", *DELAY, "USER 65532:65532"]}


def test_the_dockerfiles_differ_only_in_their_service_and_its_own_lines():
    """And what builds for minutes is above them: an engine reuses a layer if all lines up to it are the same."""
    texts = set()
    for name, own in OWN_LINES.items():
        lines = pathlib.Path(REPO, name, "Dockerfile").read_text("utf-8").splitlines()
        assert [line for line in lines if line in own] == own
        shared = [line for line in lines[:lines.index(own[0])] if not line.startswith("#")]
        assert "RUN /src/scripts/install-deps --yes build" in shared and not any(name in line for line in shared)
        texts.add("\n".join(line for line in lines if line not in own).replace(name, "SERVICE"))
    assert len(texts) == 1
