#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis_client.h"
#include "worker/loop_trace.h"
#include "worker/miner.h"

namespace dockercoins {

/// Counts in Redis: the string `hashes` and the hash `wallet`. Not thread-safe.
class RedisLedger final : public Ledger {
 public:
  /// Each command is a step in `trace`, which must outlive this.
  RedisLedger(RedisUrl url, LoopTrace& trace);

  void AddLoops(uint64_t loops) override;
  bool AddCoin(const std::string& digest, const std::string& bytes) override;

 private:
  /// The integer that Redis replies to a command.
  int64_t Integer(const std::vector<std::string_view>& command);

  const Endpoint server_;
  RedisClient redis_;
  LoopTrace& trace_;
};

}  // namespace dockercoins
