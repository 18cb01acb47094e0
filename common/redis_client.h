#pragma once

#include <hiredis/hiredis.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/dial.h"
#include "common/url.h"

namespace dockercoins {

/// A reply of Redis; see hiredis' redisReply for its fields.
using RedisReply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

/// A connection to Redis, made on first use and again after it broke. Not thread-safe.
class RedisClient {
 public:
  /// Waits for a reply for `reply_timeout`; without one, for as long as the connection lives, which TCP
  /// keep-alive checks. A connection older than `longest_use` is replaced before the next command: its Redis
  /// may have become a replica, which serves what it last knew.
  RedisClient(RedisUrl url, std::chrono::milliseconds connect_timeout,
              std::optional<std::chrono::milliseconds> reply_timeout,
              std::chrono::steady_clock::duration longest_use = std::chrono::steady_clock::duration::max());

  /// Sends a command and waits for its reply. Connects first if needed, also when Redis has closed the
  /// connection since the last command. The arguments may contain any bytes.
  ///
  /// Throws UnreachableError if it cannot connect, or Redis is still loading its data; ReplicaError if Redis
  /// has become a replica; RefusedError if it refused the command: it was not executed. After the first two
  /// the next command connects anew, to where the name leads then. Throws std::runtime_error if the
  /// connection broke: then Redis may or may not have executed the command.
  RedisReply Command(const std::vector<std::string_view>& arguments);

 private:
  [[nodiscard]] bool IsStale() const;
  void Connect();
  RedisReply Exchange(const std::vector<std::string_view>& arguments);

  const RedisUrl url_;
  Dialer dialer_;
  const std::chrono::milliseconds connect_timeout_;
  const std::optional<std::chrono::milliseconds> reply_timeout_;
  const std::chrono::steady_clock::duration longest_use_;
  std::chrono::steady_clock::time_point connected_;
  std::unique_ptr<redisContext, decltype(&redisFree)> context_{nullptr, &redisFree};
};

}  // namespace dockercoins
