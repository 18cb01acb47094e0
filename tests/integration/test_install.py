"""cmake --install: the programs run from where it puts them."""

import os
import re
import subprocess

import harness
from harness import REPO, Mine, Service, eventually, http


def test_the_installed_programs_mine_and_show_the_dashboard(tmp_path, monkeypatch):
    subprocess.run(["cmake", "--install", os.path.dirname(harness.BIN), "--prefix", tmp_path], check=True,
                   capture_output=True)
    files = tmp_path / "share/dockercoins/files"
    assert sorted(os.listdir(files)) == sorted(os.listdir(f"{REPO}/webui/files"))
    assert sorted(os.listdir(tmp_path / "bin")) == ["hasher", "rng", "webui", "worker"]
    monkeypatch.setattr(harness, "BIN", str(tmp_path / "bin"))
    with Mine() as mine, Service("webui", REDIS_URL=mine.redis.url, FILES_DIR=files) as webui:
        page = http(webui.port, "GET", "/index.html")[2].decode()
        named = re.findall(r'(?:src|href)="(?!https?:)([^"#]+)"', page)
        assert named and {http(webui.port, "GET", f"/{name}")[0] for name in named} == {200}
        eventually(lambda: re.search(rb'"hashes":"[1-9]', http(webui.port, "GET", "/json")[2]), 10)
