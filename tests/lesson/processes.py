"""What scripts/lesson asks of a platform, with the real services as processes."""

import lesson
from harness import Redis, Service, run


class Processes(lesson.Platform):
    """A platform and its factory; what it starts ends with the stack."""

    url = None

    def __init__(self, stack, workers=1, rng_url=None, webui=None, **delays):
        self._delays = {"worker": 100, "rng": 100, "hasher": 100, **delays}
        self._stack = stack
        self.redis = stack.enter_context(Redis())
        self.running = {"rng": [] if rng_url else [self._start("rng")], "hasher": [self._start("hasher")], "worker": []}
        self._rng = rng_url or f"http://127.0.0.1:{self.running['rng'][0].port}"
        self._upstreams = {"RNG_URL": self._rng, "REDIS_URL": self.redis.url,
                           "HASHER_URL": f"http://127.0.0.1:{self.running['hasher'][0].port}"}
        self._webui_settings = {"REDIS_URL": self.redis.url, **(webui or {})}
        self.start_webui()
        self.url = f"http://127.0.0.1:{self.webui.port}"
        self.scale(workers)

    def __call__(self, _options):
        return self

    def _start(self, name, **settings):
        return self._stack.enter_context(Service(name, admin=True, DELAY_MS=self._delays[name], **settings))

    def start_webui(self):
        """Starts it, the next time on the same port."""
        self.webui = self._stack.enter_context(Service("webui", **self._webui_settings))
        self._webui_settings["PORT"] = self.webui.port
        self.running["webui"] = [self.webui]

    def start_worker(self):
        worker = self._start("worker", **self._upstreams)
        worker.wait_for_line(r"^INFO:worker:", 10)  # before that, TERM is not yet its own
        return worker

    def workers(self):
        return len(self.running["worker"])

    def scale(self, workers):
        running = self.running["worker"]
        while len(running) < workers:
            running.append(self.start_worker())
        while len(running) > workers:
            assert running.pop().stop()[0] == 0

    def servers(self):
        return 1

    def delay(self, service):
        return self._delays[service] / 1000

    def address(self, service):
        return self._rng + "/" if service == "rng" else f"http://127.0.0.1:{self.running[service][0].port}/"

    def containers(self, service):
        return [one.pid for one in self.running[service]]

    def metrics(self, service, container):
        [port] = [one.admin_port for one in self.running[service] if one.pid == container]
        return run(service, "--metrics", ADMIN_PORT=port).stdout
