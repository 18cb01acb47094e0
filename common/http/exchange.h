#pragma once

#include <memory>
#include <stop_token>

#include "common/http/connection.h"
#include "common/http/http_handler.h"
#include "common/log.h"

namespace dockercoins {

/// Serves one connection after another: httplib parses the request and composes the answer, over
/// ConnectionStream. It writes nothing itself.
///
/// For one thread. It uses httplib::Server's protected process_request, so the library's version is fixed.
class Exchange {
 public:
  /// `routes` and `log` must outlive this.
  Exchange(const Routes& routes, Log& log, std::stop_token cut);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Answers the request of `connection`: its `answer` is then ready to be written, its `record` complete but
  /// for what was sent. Without an answer (the request did not arrive) it has no status.
  void Serve(Connection& connection);

 private:
  class Httplib;
  const std::unique_ptr<Httplib> httplib_;
};

/// A status's reason phrase, as httplib writes it.
const char* StatusText(int status);

}  // namespace dockercoins
