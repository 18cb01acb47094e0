#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>

#include "common/connection.h"
#include "common/http_handler.h"
#include "common/log.h"

namespace dockercoins {

/// Serves one connection after another: httplib parses the request and writes the answer, over
/// ConnectionStream.
///
/// For one thread. It uses httplib::Server's protected process_request, so the library's version is pinned.
class Exchange {
 public:
  /// `handler` and `log` must outlive this. Without `log_access` there is no access line.
  Exchange(HttpHandler& handler, Log& log, bool log_access, std::stop_token cut);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Answers the request of `connection`, closes its sending side and writes the access line.
  void Serve(Connection& connection);

 private:
  class Server;
  const std::unique_ptr<Server> server_;
  Log& log_;
  const bool log_access_;
};

/// Writes the access line of a request, answered or not, that has just been dealt with.
void LogAccess(Log& log, const Connection& connection, std::string_view request_line,
               std::optional<int> status, std::optional<uint64_t> body_bytes);

}  // namespace dockercoins
