#include "common/metrics.h"
#include "common/service/program.h"
#include "common/service/service.h"
#include "common/trace.h"
#include "hasher/hasher_service.h"

namespace {

constexpr dockercoins::Program kProgram = {
    .name = "hasher",
    .summary = "SHA-256 over HTTP.",
    .variables =
        "  PORT          port to listen on, 0: a free one (80)\n"
        "  BIND_ADDRESS  address to listen on (::)\n"
        "  ADMIN_PORT    port for /healthz, /readyz and /metrics, 0: none (9797)\n"
        "  DELAY_MS      simulated work, milliseconds (100)\n"
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
  const unsigned fail_percent = ReadFailPercent();
  Log log(kProgram.name, ReadSwitch("DEBUG"));
  stop.IgnoreIfAsked(log);

  Metrics metrics;
  Tracer tracer(metrics, log, stop.token());
  const HasherService service(Hostname(), SimulatedWork(delay, fail_percent, log));
  // 64 requests together take one DELAY, and so do twice as many.
  const HttpServer::Options many_at_a_time = {.threads = 128};
  ServeHttp("HASHER", settings, many_at_a_time, service.MakeRoutes(), metrics, log, stop, &tracer);
}

}  // namespace

int main(int argc, char** argv) { return dockercoins::RunProgram(kProgram, argc, argv, Run); }
