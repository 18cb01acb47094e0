#include "common/http/exchange.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "common/http/chunked_body.h"
#include "common/wait.h"
#include "httplib.h"

namespace dockercoins {
namespace {

constexpr int kContinue = 100;
/// A large body may take longer than a request's 10 s, as long as it comes at half a megabit per second.
constexpr uint64_t kMinBytesPerSecond = size_t{64} * 1024;
/// httplib reads lines byte by byte, which must not take a system call each.
constexpr size_t kLineBuffer = size_t{4} * 1024;

bool Lists(const std::string& methods, const std::string& method) {
  return (", " + methods + ", ").find(", " + method + ", ") != std::string::npos;
}

/// RFC 9112, section 3.2.2: a server accepts `GET http://host/path` as well. InspectHead lets no other form
/// pass.
void AcceptAbsoluteForm(httplib::Request& request) {
  constexpr size_t kScheme = std::string_view("http://").size();
  if (request.path.starts_with('/') || request.path == "*") return;
  const size_t slash = request.path.find('/', kScheme);
  request.path = slash == std::string::npos ? "/" : request.path.substr(slash);
}

void Amend(const RequestHead& head, httplib::Request& request) {
  AcceptAbsoluteForm(request);
  // The body is taken as it came: httplib would parse forms and refuse encodings.
  request.headers.erase("Content-Type");
  request.headers.erase("Content-Encoding");
  // With neither a length nor chunks, httplib would read until the client closes.
  if (!request.has_header("Content-Length") && !request.has_header("Transfer-Encoding")) {
    request.set_header("Content-Length", "0");
  }
  // httplib knows one spelling, and sends "100 Continue" to HTTP/1.0, too (RFC 9110, section 10.1.1).
  request.headers.erase("Expect");
  if (head.expects_continue) request.set_header("Expect", "100-continue");
}

/// Gives our answer to httplib: the head of one that has a source, which is written piece by piece.
void Convert(HttpResponse from, httplib::Response& to) {
  to.status = from.status;
  for (const auto& [name, value] : from.headers) to.set_header(name, value);
  if (from.source_bytes == 0) {
    if (!from.content_type.empty()) to.set_content(std::move(from.body), from.content_type);
  } else {
    to.set_header("Content-Type", from.content_type);
    to.set_header("Content-Length", std::to_string(from.source_bytes));
  }
}

/// How long the request waited in the queue and was worked on, for a browser's network panel
/// (https://www.w3.org/TR/server-timing/).
std::string ServerTiming(const RequestRecord& record) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "queue;dur=%.1f, work;dur=%.1f",
                Milliseconds(record.Waited()).count(), Milliseconds(record.Served()).count());
  return text.data();
}

/// The connection as httplib reads and writes it: it reads what was received, then the socket, and collects
/// the answer in `connection.answer`.
///
/// A client whose request does not arrive in time is cut off: reads fail. For one thread.
class ConnectionStream final : public httplib::Stream {
 public:
  explicit ConnectionStream(Connection& connection) : connection_(connection) {}

  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return true; }
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return connection_.fd.get(); }
  using httplib::Stream::write;

 private:
  ssize_t ReadSocket(char* data, size_t size);

  Connection& connection_;
  size_t taken_ = 0;   ///< Of connection_.received.
  uint64_t read_ = 0;  ///< From the socket, beyond connection_.received.
};

ssize_t ConnectionStream::read(char* data, size_t size) {
  const std::string& received = connection_.received;
  if (taken_ < received.size()) {
    const size_t count = std::min(size, received.size() - taken_);
    std::copy_n(received.data() + taken_, count, data);
    taken_ += count;
    return static_cast<ssize_t>(count);
  }
  if (size > 1) return ReadSocket(data, size);
  connection_.received.resize(kLineBuffer);
  const ssize_t count = ReadSocket(connection_.received.data(), connection_.received.size());
  connection_.received.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  taken_ = 0;
  return count > 0 ? read(data, size) : count;
}

ssize_t ConnectionStream::ReadSocket(char* data, size_t size) {
  // "100 Continue" must be out before the client sends.
  if (!SendNow(connection_, std::exchange(connection_.answer.unsent, {}))) return -1;
  for (;;) {
    const ssize_t count = ::recv(connection_.fd.get(), data, size, MSG_DONTWAIT);
    if (count >= 0) {
      read_ += static_cast<uint64_t>(count);
      return count;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    const auto deadline = connection_.deadline + std::chrono::milliseconds(read_ * 1000 / kMinBytesPerSecond);
    if (PollUntil(connection_.fd.get(), POLLIN, deadline) == 0) return -1;
  }
}

ssize_t ConnectionStream::write(const char* data, size_t size) {
  connection_.answer.unsent.append(data, size);
  return static_cast<ssize_t>(size);
}

void ConnectionStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = connection_.record.client;
  port = 0;
}

void ConnectionStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace

/// httplib's server without its sockets and threads.
class Exchange::Httplib final : public httplib::Server {
 public:
  Httplib(const Routes& routes, Log& log, std::stop_token cut)
      : routes_(routes), log_(log), cut_(std::move(cut)) {
    set_expect_100_continue_handler([this](const httplib::Request& request, httplib::Response& response) {
      const int refused = Refuse(request, response);
      return refused != 0 ? refused : kContinue;
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      if (Refuse(request, response) != 0) return HandlerResponse::Handled;
      if (request.method == "POST") return HandlerResponse::Unhandled;
      Answer(request, response, [](const TakeBytes& /*take*/) { return true; });
      return HandlerResponse::Handled;
    });
    // Only a route has the body's reader. With a parameter, which "/" leaves empty, it is no regular
    // expression: those take megabytes of stack for long paths.
    Post("/:rest", [this](const httplib::Request& request, httplib::Response& response,
                          const httplib::ContentReader& body) {
      const ReadBytes read = [this](char* data, size_t size) { return stream_->read(data, size); };
      Answer(request, response, [&](const TakeBytes& take) {
        return connection_->head.chunked ? ReadChunks(read, take) : body(take);
      });
    });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      // httplib's own refusals have no text.
      if (response.body.empty()) SetError(response, response.status, "the request could not be understood");
      return HandlerResponse::Handled;
    });
    set_post_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      // httplib gives it to HEAD alone, and there are no ranges.
      response.headers.erase("Accept-Ranges");
      connection_->record.status = response.status;
      // As far as its times are known now; HttpServer notes the end.
      connection_->record.ready = std::chrono::steady_clock::now();
      response.set_header("Server-Timing", ServerTiming(connection_->record));
      body_bytes_ = request.method == "HEAD" ? 0 : response.body.size();
    });
  }

  void Serve(Connection& connection) {
    connection_ = &connection;
    body_bytes_ = 0;
    ConnectionStream stream(connection);
    stream_ = &stream;
    bool closed = false;
    process_request(stream, connection.record.client, 0, "", 0, /*close_connection=*/true, closed,
                    [&](httplib::Request& request) { Amend(connection.head, request); });
    action_ = {};  // It may hold a file open.
    connection.answer.head_bytes = connection.answer.unsent.size() - body_bytes_;
  }

 private:
  static void SetError(httplib::Response& response, int status, const std::string& reason) {
    HttpResponse error;
    error.SetError(status, reason);
    Convert(std::move(error), response);
  }

  /// Sets the refusal of a request that no action answers, and returns its status; 0 when there is
  /// none.
  int Refuse(const httplib::Request& request, httplib::Response& response) {
    const Route* route = FindRoute(routes_, request.path);
    connection_->record.route = route;
    action_ = route == nullptr ? Action() : route->prepare(request.path);
    if (!action_) {
      SetError(response, kNotFound, "there is no such path");
    } else if (!Lists(route->methods, request.method)) {
      response.set_header("Allow", route->methods);
      SetError(response, kMethodNotAllowed, "allowed are " + route->methods);
    } else if (request.method == "POST" &&
               request.get_header_value_u64("Content-Length") > route->max_body_bytes) {
      SetError(response, kContentTooLarge,
               "at most " + std::to_string(route->max_body_bytes) + " bytes are accepted");
    } else {
      return 0;
    }
    return response.status;
  }

  void Answer(const httplib::Request& request, httplib::Response& response, const BodyReader& body) {
    HttpResponse answer;
    try {
      action_({.method = request.method, .path = request.path, .arrived = connection_->record.queued}, answer,
              body, cut_);
    } catch (const std::exception& error) {
      log_.Error(std::string("In an answer: ") + error.what());
      answer = {};
      answer.SetError(kInternalServerError, "the answer failed");
    }
    if (request.method != "HEAD") {
      connection_->answer.source = std::move(answer.source);
      connection_->answer.source_bytes = answer.source_bytes;
    }
    Convert(std::move(answer), response);
  }

  const Routes& routes_;
  Log& log_;
  const std::stop_token cut_;
  Connection* connection_ = nullptr;    ///< The one at hand,
  ConnectionStream* stream_ = nullptr;  ///< its bytes,
  Action action_;                       ///< and what answers it.
  size_t body_bytes_ = 0;               ///< How much of its answer is body, besides what a source gives.
};

const char* StatusText(int status) { return httplib::status_message(status); }

Exchange::Exchange(const Routes& routes, Log& log, std::stop_token cut)
    : httplib_(std::make_unique<Httplib>(routes, log, std::move(cut))) {}

Exchange::~Exchange() = default;

void Exchange::Serve(Connection& connection) {
  // httplib would answer 206, or refuse a range that it cannot read; a server may ignore it (RFC 9110,
  // section 14.2).
  RemoveHeader(connection.received, "range");
  httplib_->Serve(connection);
}

}  // namespace dockercoins
