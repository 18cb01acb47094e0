#include "common/service/admin_server.h"

namespace dockercoins {
namespace {

/// Two, so that probes are answered while another client reads slowly.
constexpr size_t kThreads = 2;

template <typename Answer>
Route Probe(const std::string& path, const std::string& program, Answer answer) {
  return Route::To(path, kGetAndHead, [=](const auto& /*request*/, HttpResponse& response, auto&&...) {
    response.headers.emplace_back("Cache-Control", "no-store");
    response.headers.emplace_back("Server", program);
    answer(response);
  });
}

void SetOk(HttpResponse& response) { response.SetContent("ok\n", "text/plain; charset=utf-8"); }

}  // namespace

AdminServer::AdminServer(const ListenSettings& settings, const Metrics& metrics, Log& log)
    : routes_({Probe("/healthz", log.name(), SetOk),
               Probe("/readyz", log.name(), [this](HttpResponse& response) { AnswerReadiness(response); }),
               Probe("/metrics", log.name(), [&metrics](HttpResponse& response) {
                 response.SetContent(metrics.Text(), Metrics::kMediaType);
               })}) {
  if (settings.admin_port == 0) return;
  try {
    server_ = std::make_unique<HttpServer>(Listen(settings.address, settings.admin_port),
                                           HttpServer::Options{.threads = kThreads, .log_access = false},
                                           routes_, log);
  } catch (const StartError& error) {
    if (settings.admin_asked) throw;
    log.Warning(std::string("No admin port: ") + error.what());
  }
}

void AdminServer::Start() {
  if (server_) server_->Start();
}

void AdminServer::SetNotReady(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  not_ready_ = reason;
}

void AdminServer::AnswerReadiness(HttpResponse& response) {
  const std::lock_guard lock(mutex_);
  if (not_ready_) {
    response.SetError(kServiceUnavailable, *not_ready_);
  } else {
    SetOk(response);
  }
}

}  // namespace dockercoins
