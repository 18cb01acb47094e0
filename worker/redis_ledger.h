#pragma once

#include <string>

#include "common/redis_client.h"
#include "worker/miner.h"

namespace dockercoins {

/// Counts in Redis: the string `hashes` and the hash `wallet`. Not thread-safe.
class RedisLedger final : public Ledger {
 public:
  explicit RedisLedger(RedisUrl url);

  void AddLoops(uint64_t loops) override;
  bool AddCoin(const std::string& digest, const std::string& bytes) override;

 private:
  RedisClient redis_;
};

}  // namespace dockercoins
