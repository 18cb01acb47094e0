#include "worker/redis_ledger.h"

#include <chrono>
#include <optional>
#include <utility>

namespace dockercoins {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(10);

}  // namespace

// No reply timeout: an update that timed out and was sent again could count twice.
RedisLedger::RedisLedger(RedisUrl url) : redis_(std::move(url), kConnectTimeout, std::nullopt) {}

void RedisLedger::AddLoops(uint64_t loops) { redis_.Command({"INCRBY", "hashes", std::to_string(loops)}); }

bool RedisLedger::AddCoin(const std::string& digest, const std::string& bytes) {
  return redis_.Command({"HSET", "wallet", digest, bytes})->integer == 1;
}

}  // namespace dockercoins
