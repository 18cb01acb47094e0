#include "common/redis_client.h"

#include <poll.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include "common/errors.h"

namespace dockercoins {
RedisClient::RedisClient(RedisUrl url, std::chrono::milliseconds connect_timeout,
                         std::optional<std::chrono::milliseconds> reply_timeout,
                         std::chrono::steady_clock::duration longest_use)
    : url_(std::move(url)),
      dialer_(url_.server),
      connect_timeout_(connect_timeout),
      reply_timeout_(reply_timeout),
      longest_use_(longest_use) {}

RedisReply RedisClient::Command(const std::vector<std::string_view>& arguments) {
  if (context_ && IsStale()) context_.reset();
  if (!context_) Connect();
  return Exchange(arguments);
}

bool RedisClient::IsStale() const {
  if (std::chrono::steady_clock::now() - connected_ > longest_use_) return true;
  // Redis sends nothing between commands: only the end of the connection makes it readable.
  pollfd state{.fd = context_->fd, .events = POLLIN, .revents = 0};
  return ::poll(&state, 1, 0) != 0;
}

void RedisClient::Connect() {
  UniqueFd fd = dialer_.Dial(connect_timeout_, {});
  context_.reset(redisConnectFd(fd.get()));
  if (!context_) throw std::bad_alloc();
  (void)fd.Release();
  connected_ = std::chrono::steady_clock::now();
  if (reply_timeout_) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*reply_timeout_);
    redisSetTimeout(
        context_.get(),
        {.tv_sec = seconds.count(), .tv_usec = std::chrono::microseconds(*reply_timeout_ - seconds).count()});
  }
  try {
    if (!url_.password.empty() && !url_.user.empty()) {
      Exchange({"AUTH", url_.user, url_.password});
    } else if (!url_.password.empty()) {
      Exchange({"AUTH", url_.password});
    }
    if (url_.database != 0) Exchange({"SELECT", std::to_string(url_.database)});
  } catch (...) {
    context_.reset();
    throw;
  }
}

RedisReply RedisClient::Exchange(const std::vector<std::string_view>& arguments) {
  std::vector<const char*> data;
  std::vector<size_t> sizes;
  for (const std::string_view argument : arguments) {
    data.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  void* raw = nullptr;
  const bool sent = redisAppendCommandArgv(context_.get(), static_cast<int>(arguments.size()), data.data(),
                                           sizes.data()) == REDIS_OK;
  errno = 0;
  if (!sent || redisGetReply(context_.get(), &raw) != REDIS_OK) {
    const bool timed_out = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
    std::string reason = timed_out ? "no reply in time" : context_->errstr;
    // A late reply must not be taken for the next command's.
    context_.reset();
    throw std::runtime_error(url_.server.ToString() + ": " + reason);
  }
  RedisReply reply(static_cast<redisReply*>(raw), &freeReplyObject);
  if (reply->type == REDIS_REPLY_ERROR) {
    const std::string reason(reply->str, static_cast<size_t>(reply->len));
    const std::string error = url_.server.ToString() + ": " + reason;
    const bool is_loading = reason.starts_with("LOADING");
    const bool is_replica = reason.starts_with("READONLY") || reason.starts_with("MASTERDOWN");
    if (!is_loading && !is_replica) throw RefusedError(error);
    context_.reset();
    if (is_replica) throw ReplicaError(error);
    // A Redis that is still loading its data counts as unreachable.
    throw UnreachableError(url_.server, reason);
  }
  return reply;
}

}  // namespace dockercoins
