#include "common/admin_server.h"

namespace dockercoins {
namespace {

constexpr int kServiceUnavailable = 503;

/// A probe must be answered while another client is slow to take its answer.
constexpr size_t kThreads = 2;

}  // namespace

AdminServer::AdminServer(const ListenSettings& settings, const Metrics& metrics, Log& log)
    : handler_(metrics) {
  if (settings.admin_port == 0) return;
  try {
    server_ = std::make_unique<HttpServer>(Listen(settings.address, settings.admin_port),
                                           HttpServer::Options{.threads = kThreads, .log_access = false},
                                           handler_, log);
  } catch (const StartError& error) {
    if (settings.admin_asked) throw;
    log.Warning(std::string("No admin port: ") + error.what());
  }
}

void AdminServer::Start() {
  if (server_) server_->Start();
}

void AdminServer::SetNotReady(const std::string& reason) { handler_.SetNotReady(reason); }

std::string_view AdminServer::Handler::AllowedMethods(std::string_view path) const {
  return path == "/healthz" || path == "/readyz" || path == "/metrics" ? "GET, HEAD" : "";
}

void AdminServer::Handler::Serve(const HttpRequest& request, HttpResponse& response,
                                 const BodyReader& /*body*/, std::stop_token /*cut*/) {
  response.headers.emplace_back("Cache-Control", "no-store");
  if (request.path == "/metrics") {
    response.SetContent(metrics_.Text(), Metrics::kMediaType);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (request.path == "/readyz" && not_ready_) {
    response.SetError(kServiceUnavailable, *not_ready_);
  } else {
    response.SetContent("ok\n", "text/plain; charset=utf-8");
  }
}

void AdminServer::Handler::SetNotReady(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  not_ready_ = reason;
}

}  // namespace dockercoins
