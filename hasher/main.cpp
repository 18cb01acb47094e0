#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "hasher/hasher_service.h"

namespace dockercoins {
namespace {

constexpr Program kProgram = {
    .name = "hasher",
    .summary = "SHA-256 over HTTP.",
    .has_service_port = true,
    .settings = {setting::kDelay, setting::kFailPercent},
};

void Run() {
  StopSignal stop;
  const ListenSettings settings = ReadListenSettings();
  const auto delay = ReadDelay();
  const unsigned fail_percent = ReadFailPercent();
  Log log(kProgram.name, ReadSwitch(setting::kDebug));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  const HasherService service(Hostname(), SimulatedWork(delay, fail_percent, log));
  // 64 requests together take one DELAY, and so do twice as many.
  const HttpServer::Options many_at_a_time = {.threads = 128};
  ServeHttp("HASHER", settings, many_at_a_time, service.MakeRoutes(), metrics, log, stop);
}

}  // namespace
}  // namespace dockercoins

int main(int argc, char** argv) {
  return dockercoins::RunProgram(dockercoins::kProgram, argc, argv, dockercoins::Run);
}
