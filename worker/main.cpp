#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "common/metrics.h"
#include "common/service/admin_server.h"
#include "common/service/program.h"
#include "common/service/stop_signal.h"
#include "worker/http_upstream.h"
#include "worker/miner.h"
#include "worker/redis_ledger.h"

namespace dockercoins {
namespace {

constexpr Program kProgram = {
    .name = "worker",
    .summary = "mines coins, with rng, hasher and Redis.",
    .has_service_port = false,
    .settings = {setting::kRngUrl, setting::kHasherUrl, setting::kRedisUrl, setting::kDelay},
};

/// Later than a Miner's last attempt, and before StopSignal ends the process.
constexpr auto kLastWords = std::chrono::milliseconds(650);

void Run() {
  StopSignal stop;
  const ListenSettings settings = ReadAdminSettings();
  const HttpUrl rng_url = ReadHttpUrl(setting::kRngUrl);
  const HttpUrl hasher_url = ReadHttpUrl(setting::kHasherUrl);
  const RedisUrl redis_url = ReadRedisUrl();
  const auto delay = ReadDelay();
  Log log(kProgram.name, ReadSwitch(setting::kDebug));
  stop.IgnoreIfAsked(log);
  Metrics metrics;
  AdminServer admin(settings, metrics, log);

  HttpServices services(rng_url, hasher_url, stop.token());
  const std::string server = redis_url.server.ToString();
  RedisLedger ledger(redis_url);
  SystemTimer timer;
  Miner miner(services, ledger, timer, metrics, log, delay);

  admin.Start();
  std::promise<void> ended;
  const std::jthread mining([&] {
    miner.Run(stop.token());
    ended.set_value();
  });
  stop.Wait();
  admin.SetNotReady("the worker is stopping");
  const bool has_ended = ended.get_future().wait_for(kLastWords) == std::future_status::ready;
  if (!has_ended && miner.HasUnstored()) {
    log.Error("Not stored at the end: " + server + ": no reply in time");
  }
}

}  // namespace
}  // namespace dockercoins

int main(int argc, char** argv) {
  return dockercoins::RunProgram(dockercoins::kProgram, argc, argv, dockercoins::Run);
}
