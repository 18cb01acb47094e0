"""The whole application as processes, for the dashboard's tests and the pictures in docs/."""

from harness import Mine, Service, run
from lesson_parts.model import Rngs


class Processes(Mine):
    """Real processes, which end with it; .url is the web UI's. It is a platform of scripts/lesson, too."""

    def __init__(self, workers=1):
        super().__init__(0, admin=True, DELAY_MS=100)
        self.webui = self.enter_context(Service("webui", REDIS_URL=self.redis.url))
        self.url = self.webui.url
        self.scale(workers)

    def start_webui(self):
        """Starts it again, on the same port."""
        self.webui = self.enter_context(Service("webui", REDIS_URL=self.redis.url, PORT=self.webui.port))

    def scale(self, workers):
        while len(self.workers) < workers:
            self.workers.append(self.enter_context(Service("worker", admin=True, DELAY_MS=100, **self.urls)))
            self.workers[-1].wait_for_line(r"^INFO:worker:", 10)  # before that, it does not handle TERM
        while len(self.workers) > workers:
            assert self.workers.pop().stop()[0] == 0

    def rngs(self):
        return Rngs()

    def containers(self, service):
        return {"rng": [self.rng], "worker": self.workers}[service]

    def metrics(self, service, container):
        return run(service, "--metrics", ADMIN_PORT=container.admin_port).stdout
