#include "common/service/admin_server.h"

#include "httplib.h"

namespace dockercoins {
namespace {

/// Two, so that probes are answered while another client reads slowly.
constexpr size_t kThreads = 2;

void SetOk(httplib::Response& response) { response.set_content("ok\n", kText); }

}  // namespace

AdminServer::AdminServer(const ListenSettings& settings, const Metrics& metrics, Log& log)
    : routes_(MakeRoutes(metrics, log.name())) {
  if (settings.admin_port == 0) return;
  try {
    server_ = std::make_unique<HttpServer>(
        Listen(settings.address, settings.admin_port),
        HttpServer::Options{.threads = kThreads, .arriving = {.answer_options = false}}, routes_, log);
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

Routes AdminServer::MakeRoutes(const Metrics& metrics, const std::string& program) {
  Routes routes;
  const auto add = [&](const std::string& path, auto respond) {
    routes.Get(path, [respond, program](const httplib::Request& /*request*/, httplib::Response& response) {
      response.set_header("Cache-Control", "no-store");
      response.set_header("Server", program);
      respond(response);
    });
  };
  add("/healthz", SetOk);
  add("/readyz", [this](httplib::Response& response) { SetReadiness(response); });
  add("/metrics", [&metrics](httplib::Response& response) {
    response.set_content(metrics.Text(), std::string(Metrics::kMediaType));
  });
  return routes;
}

void AdminServer::SetReadiness(httplib::Response& response) {
  const std::lock_guard lock(mutex_);
  if (not_ready_) {
    SetError(response, httplib::ServiceUnavailable_503, *not_ready_);
  } else {
    SetOk(response);
  }
}

}  // namespace dockercoins
