#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "common/trace.h"
#include "rng/rng_service.h"

namespace {

constexpr dockercoins::Program kProgram = {
    .name = "rng",
    .summary = "random bytes over HTTP.",
    .variables =
        "  PORT          port to listen on, 0: a free one (80)\n"
        "  BIND_ADDRESS  address to listen on (::)\n"
        "  ADMIN_PORT    port for /healthz, /readyz and /metrics, 0: none (9797)\n"
        "  DELAY_MS      simulated work, milliseconds (100)\n"
        "  CONCURRENCY   requests served at a time (1)\n"
        "  FAIL_PERCENT  so many of 100 requests fail (0)\n"
        "  OTEL_*        traces, as OpenTelemetry specifies (off)\n"
        "  IGNORE_TERM   y: TERM and INT are ignored (unset)\n"
        "  DEBUG         y: debug log (unset)\n",
    .has_service_port = true,
};

void Run() {
  using namespace dockercoins;
  StopSignal stop;
  const ListenSettings settings = ReadListenSettings();
  const auto delay = ReadDelay();
  const size_t concurrency = ReadConcurrency();
  const unsigned fail_percent = ReadFailPercent();
  Log log(kProgram.name, ReadSwitch("DEBUG"));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  Tracer tracer(metrics, log, stop.token());
  const RngService service(Hostname(), SimulatedWork(delay, fail_percent, log));
  // One thread, unless set: this is the bottleneck of the scaling lesson.
  const HttpServer::Options one_at_a_time = {.threads = concurrency, .withdraw_clients_that_left = true};
  ServeHttp("RNG", settings, one_at_a_time, service.MakeRoutes(), metrics, log, stop, &tracer);
}

}  // namespace

int main(int argc, char** argv) { return dockercoins::RunProgram(kProgram, argc, argv, Run); }
