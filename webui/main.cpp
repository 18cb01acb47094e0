#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "webui/redis_counters.h"
#include "webui/webui_service.h"

namespace dockercoins {
namespace {

constexpr Program kProgram = {
    .name = "webui",
    .summary = "the dashboard.",
    .has_service_port = true,
    .settings = {setting::kRedisUrl, setting::kFilesDir, setting::kAssetsDir},
};

void Run() {
  StopSignal stop;
  const ListenSettings settings = ReadListenSettings();
  const RedisUrl redis_url = ReadRedisUrl();
  const auto files = ReadFolder(setting::kFilesDir);
  const auto assets = ReadFolder(setting::kAssetsDir);
  Log log(kProgram.name, ReadSwitch(setting::kDebug));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  RedisCounters counters(redis_url, metrics);
  WebuiService service(counters, files, assets, log);
  // While Redis hangs, this many browsers can wait. Threads start when they are needed.
  const HttpServer::Options many_at_a_time = {.threads = 128};
  ServeHttp("WEBUI", settings, many_at_a_time, service.MakeRoutes(), metrics, log, stop);
}

}  // namespace
}  // namespace dockercoins

int main(int argc, char** argv) {
  return dockercoins::RunProgram(dockercoins::kProgram, argc, argv, dockercoins::Run);
}
