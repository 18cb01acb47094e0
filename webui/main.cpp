#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "webui/redis_counters.h"
#include "webui/webui_service.h"

namespace {

constexpr dockercoins::Program kProgram = {
    .name = "webui",
    .summary = "the dashboard.",
    .variables =
        "  PORT          port to listen on, 0 picks a free one (80)\n"
        "  REDIS_URL     redis://[[user]:password@]host[:port][/db] (redis://redis:6379)\n"
        "  FILES_DIR     folder of the dashboard's files (/files)\n"
        "  ASSETS_DIR    folder of the chart library (/usr/share/javascript)\n"
        "  BIND_ADDRESS  address to listen on (::)\n"
        "  ADMIN_PORT    port for /healthz, /readyz and /metrics, 0: none (9797)\n"
        "  IGNORE_TERM   y: TERM and INT are ignored (unset)\n"
        "  DEBUG         y: debug log (unset)\n",
    .has_service_port = true,
};

void Run() {
  using namespace dockercoins;
  StopSignal stop;
  const ListenSettings settings = ReadListenSettings();
  const RedisUrl redis_url = ReadRedisUrl();
  const auto files = ReadFolder("FILES_DIR", "/files");
  const auto assets = ReadFolder("ASSETS_DIR", "/usr/share/javascript");
  Log log(kProgram.name, ReadSwitch("DEBUG"));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  RedisCounters counters(redis_url, metrics);
  WebuiService service(counters, files, assets, log);
  // While Redis hangs, this many browsers can wait. Threads start when they are needed.
  const HttpServer::Options many_at_a_time = {.threads = 128};
  ServeHttp("WEBUI", settings, many_at_a_time, service.MakeRoutes(), metrics, log, stop);
}

}  // namespace

int main(int argc, char** argv) { return dockercoins::RunProgram(kProgram, argc, argv, Run); }
