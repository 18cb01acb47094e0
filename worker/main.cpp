#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "common/metrics.h"
#include "common/service/admin_server.h"
#include "common/service/program.h"
#include "common/service/stop_signal.h"
#include "common/trace.h"
#include "worker/http_upstream.h"
#include "worker/miner.h"
#include "worker/redis_ledger.h"

namespace {

constexpr dockercoins::Program kProgram = {
    .name = "worker",
    .summary = "mines coins, with rng, hasher and Redis.",
    .variables =
        "  RNG_URL       URL of rng (http://rng)\n"
        "  HASHER_URL    URL of hasher (http://hasher)\n"
        "  REDIS_URL     redis://[[user]:password@]host[:port][/db] (redis://redis:6379)\n"
        "  BIND_ADDRESS  address of the admin port (::)\n"
        "  ADMIN_PORT    port for /healthz, /readyz and /metrics, 0: none (9797)\n"
        "  DELAY_MS      simulated work, milliseconds (100)\n"
        "  OTEL_*        traces, as OpenTelemetry specifies (off)\n"
        "  IGNORE_TERM   y: TERM and INT are ignored (unset)\n"
        "  DEBUG         y: debug log (unset)\n",
    .has_service_port = false,
};

/// Later than a Miner's last attempt, and before StopSignal ends the process.
constexpr auto kLastWords = std::chrono::milliseconds(650);

void Run() {
  using namespace dockercoins;
  StopSignal stop;
  const ListenSettings settings = ReadAdminSettings();
  const HttpUrl rng_url = ReadHttpUrl("RNG_URL", "http://rng");
  const HttpUrl hasher_url = ReadHttpUrl("HASHER_URL", "http://hasher");
  const RedisUrl redis_url = ReadRedisUrl();
  const auto delay = ReadDelay();
  Log log(kProgram.name, ReadSwitch("DEBUG"));
  stop.IgnoreIfAsked(log);
  Metrics metrics;
  AdminServer admin(settings, metrics, log);

  Tracer tracer(metrics, log, stop.token());
  LoopTrace trace(tracer);
  HttpServices services(rng_url, hasher_url, trace, stop.token());
  const std::string server = redis_url.server.ToString();
  RedisLedger ledger(redis_url, trace);
  SystemTimer timer;
  Miner miner(services, ledger, timer, metrics, log, trace, delay);

  admin.Start();
  std::promise<void> ended;
  const std::jthread mining([&] {
    miner.Run(stop.token());
    ended.set_value();
  });
  stop.Wait();
  admin.SetNotReady("the worker is stopping");
  if (ended.get_future().wait_for(kLastWords) == std::future_status::timeout) {
    log.Error("Not stored at the end: " + server + ": no reply in time");
  }
}

}  // namespace

int main(int argc, char** argv) { return dockercoins::RunProgram(kProgram, argc, argv, Run); }
