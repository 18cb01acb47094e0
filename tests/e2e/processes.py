"""The application as processes, for the dashboard's tests and for `scripts/lesson explain`."""

from harness import Redis, Service, run
from lesson_parts.model import Rngs


class Processes:
    """All processes end with the stack."""

    def __init__(self, stack, workers=1):
        self._stack = stack
        self.redis = stack.enter_context(Redis())
        self._running = {"rng": [self._start("rng")], "hasher": [self._start("hasher")], "worker": []}
        self._upstreams = {f"{name.upper()}_URL": f"http://127.0.0.1:{self._running[name][0].port}"
                           for name in ("rng", "hasher")}
        self._webui_settings = {"REDIS_URL": self.redis.url}
        self.start_webui()
        self.url = f"http://127.0.0.1:{self.webui.port}"
        self.scale(workers)

    def _start(self, name, **settings):
        return self._stack.enter_context(Service(name, admin=True, DELAY_MS=100, **settings))

    def start_webui(self):
        """Starts it; always on the same port."""
        self.webui = self._stack.enter_context(Service("webui", **self._webui_settings))
        self._webui_settings["PORT"] = self.webui.port

    def scale(self, workers):
        running = self._running["worker"]
        while len(running) < workers:
            running.append(self._start("worker", REDIS_URL=self.redis.url, **self._upstreams))
            running[-1].wait_for_line(r"^INFO:worker:", 10)  # before that, it does not handle TERM
        while len(running) > workers:
            assert running.pop().stop()[0] == 0

    def rngs(self):
        return Rngs()

    def containers(self, service):
        return self._running[service]

    def metrics(self, service, container):
        return run(service, "--metrics", ADMIN_PORT=container.admin_port).stdout
