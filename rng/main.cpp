#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "rng/rng_service.h"

namespace dockercoins {
namespace {

constexpr Program kProgram = {
    .name = "rng",
    .summary = "random bytes over HTTP.",
    .has_service_port = true,
    .settings = {setting::kDelay, setting::kConcurrency, setting::kFailPercent},
};

void Run() {
  StopSignal stop;
  const ListenSettings settings = ReadListenSettings();
  const auto delay = ReadDelay();
  const size_t concurrency = ReadConcurrency();
  const unsigned fail_percent = ReadFailPercent();
  Log log(kProgram.name, ReadSwitch(setting::kDebug));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  const RngService service(Hostname(), SimulatedWork(delay, fail_percent, log));
  // One thread, unless set: this is the bottleneck of the scaling lesson.
  const HttpServer::Options one_at_a_time = {.threads = concurrency, .withdraw_clients_that_left = true};
  ServeHttp("RNG", settings, one_at_a_time, service.MakeRoutes(), metrics, log, stop);
}

}  // namespace
}  // namespace dockercoins

int main(int argc, char** argv) {
  return dockercoins::RunProgram(dockercoins::kProgram, argc, argv, dockercoins::Run);
}
