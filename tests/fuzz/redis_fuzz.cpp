// Redis's replies, as worker and webui read them. An input is four connections, separated by kNextPart: each
// replies to AUTH, SELECT and one of INCRBY, HSET, HLEN and GET. kCut ends a packet.
#include <stdexcept>

#include "tests/fuzz/fuzz.h"
#include "webui/redis_counters.h"
#include "worker/redis_ledger.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dockercoins;
  static const RedisUrl url = RedisUrl::Parse("redis://me:secret@redis/1");
  static LoopTrace off;
  static RedisLedger ledger(url, off);
  static Metrics metrics;
  static RedisCounters counters(url, metrics);

  SetConnections(Split(Text(data, size), kNextPart));
  const auto expect_runtime_error = [](auto act) {
    try {
      act();
    } catch (const std::runtime_error& error) {
      Require(std::string_view(error.what()).find("redis:6379: ") != std::string_view::npos ||
                  std::string_view(error.what()) == "Redis: no reply in time",
              "an error names Redis", error.what());
    }
  };
  expect_runtime_error([] { ledger.AddLoops(7); });
  expect_runtime_error([] { ledger.AddCoin(std::string(64, '0'), std::string("\0\r\n", 3)); });
  expect_runtime_error([] { (void)counters.Read(std::chrono::steady_clock::now()); });
  return 0;
}
