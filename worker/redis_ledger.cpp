#include "worker/redis_ledger.h"

#include <chrono>
#include <optional>
#include <utility>

namespace dockercoins {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(10);

}  // namespace

// No reply timeout: an update that timed out and was sent again could count twice.
RedisLedger::RedisLedger(RedisUrl url, LoopTrace& trace)
    : server_(url.server), redis_(std::move(url), kConnectTimeout, std::nullopt), trace_(trace) {}

void RedisLedger::AddLoops(uint64_t loops) { Integer({"INCRBY", "hashes", std::to_string(loops)}); }

bool RedisLedger::AddCoin(const std::string& digest, const std::string& bytes) {
  return Integer({"HSET", "wallet", digest, bytes}) == 1;
}

int64_t RedisLedger::Integer(const std::vector<std::string_view>& command) {
  return trace_.Step(command[0], Span::Kind::kClient, [&](Span* span) {
    if (span != nullptr) {
      span->attributes = {{"db.system.name", "redis"},
                          {"db.operation.name", span->name},
                          {"server.address", server_.host},
                          {"server.port", std::to_string(server_.port), true}};
    }
    return redis_.Command(command)->integer;
  });
}

}  // namespace dockercoins
