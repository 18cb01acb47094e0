#pragma once

#include <memory>
#include <stop_token>

#include "common/access_log.h"
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
  /// `handler`, `log` and `access_log` must outlive this.
  Exchange(HttpHandler& handler, Log& log, const AccessLog& access_log, std::stop_token cut);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Answers the request of `connection`, closes its sending side and enters it in the access log.
  void Serve(Connection& connection);

 private:
  class Server;
  const std::unique_ptr<Server> server_;
  const AccessLog& access_log_;
};

}  // namespace dockercoins
