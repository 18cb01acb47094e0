#include "worker/http_upstream.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "httplib.h"

namespace dockercoins {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(10);
constexpr auto kWriteTimeout = std::chrono::seconds(10);
constexpr int kOk = 200;
constexpr size_t kRandomBytes = 32;
constexpr size_t kDigestDigits = 64;

/// An httplib client for one request, whose connection is made by Dial and ends with a stop.
class DialledClient final : public httplib::ClientImpl {
 public:
  DialledClient(Dialer& dialer, std::stop_token stop, std::chrono::milliseconds answer_timeout)
      : httplib::ClientImpl(dialer.Server().host, dialer.Server().port),
        dialer_(dialer),
        stop_(std::move(stop)) {
    const Endpoint& server = dialer.Server();
    set_read_timeout(answer_timeout);
    set_write_timeout(kWriteTimeout);
    // A name that is an IPv6 address needs brackets, which httplib leaves out.
    set_default_headers({{"Host", server.port == kHttpPort ? server.HostText() : server.ToString()}});
  }

  /// Sends `body`, in one packet with the head: as the request's body it would follow in another, and wake
  /// hasher up twice. It must outlive the request.
  void SendWithHead(const std::string& body) {
    set_header_writer([&body](httplib::Stream& stream, httplib::Headers& headers) {
      headers.erase("Content-Length");
      headers.emplace("Content-Length", std::to_string(body.size()));
      const ssize_t count = httplib::detail::write_headers(stream, headers);
      return count < 0 || stream.write(body) < 0 ? -1 : count;
    });
  }

  /// Why there is no connection, if that is so.
  [[nodiscard]] const std::optional<UnreachableError>& unreachable() const { return unreachable_; }

 private:
  static constexpr uint16_t kHttpPort = 80;

  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override {
    try {
      UniqueFd fd = dialer_.Dial(kConnectTimeout, stop_);
      // A descriptor of our own: httplib closes its one before the callback is gone.
      shared_ = UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
      if (!shared_) throw UnreachableError(dialer_.Server(), ErrorText(errno));
      interrupt_.emplace(stop_, [this] { ::shutdown(shared_.get(), SHUT_RDWR); });
      socket.sock = fd.Release();
      return true;
    } catch (const UnreachableError& reason) {
      unreachable_ = reason;
      error = httplib::Error::Connection;
      return false;
    }
  }

  Dialer& dialer_;
  const std::stop_token stop_;
  std::optional<UnreachableError> unreachable_;
  UniqueFd shared_;
  std::optional<std::stop_callback<std::function<void()>>> interrupt_;
};

bool IsHexDigest(const std::string& text) {
  return text.size() == kDigestDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

const char* Explain(httplib::Error error) {
  switch (error) {
    case httplib::Error::Read:
      return "the connection broke before the answer was complete";
    case httplib::Error::Write:
      return "the connection broke while the request was sent";
    default:
      return "the answer could not be read";
  }
}

}  // namespace

HttpUpstream::HttpUpstream(HttpUrl url, std::stop_token stop, std::chrono::milliseconds answer_timeout,
                           const HttpUpstream* sibling)
    : url_(std::move(url)),
      dialer_(url_.server, sibling != nullptr ? &sibling->dialer_ : nullptr),
      stop_(std::move(stop)),
      answer_timeout_(answer_timeout) {}

std::string HttpUpstream::Get(const std::string& path, size_t size) { return Request("GET", path, "", size); }

std::string HttpUpstream::Post(const std::string& path, const std::string& body, size_t size) {
  return Request("POST", path, body, size);
}

void HttpUpstream::Fail(const std::string& reason) const {
  throw std::runtime_error(url_.server.ToString() + ": " + reason);
}

std::string HttpUpstream::Request(const char* method, const std::string& path, const std::string& body,
                                  size_t size) {
  DialledClient client(dialer_, stop_, answer_timeout_);
  httplib::Request request;
  request.method = method;
  request.path = url_.path + path;
  if (!body.empty()) {
    request.set_header("Content-Type", "application/octet-stream");
    client.SendWithHead(body);
  }
  std::string answer;
  bool too_long = false;
  int status = 0;
  request.response_handler = [&](const httplib::Response& response) {
    status = response.status;
    return status == kOk;
  };
  // Keeps at most one byte more than expected, whatever is sent.
  request.content_receiver = [&](const char* data, size_t count, auto&&...) {
    answer.append(data, std::min(count, size + 1 - answer.size()));
    too_long = answer.size() > size;
    return !too_long;
  };
  const auto result = client.send(request);
  if (const auto& unreachable = client.unreachable()) throw UnreachableError(*unreachable);
  if (status != 0 && status != kOk) Fail("it answered with status " + std::to_string(status));
  if (!result && !too_long) Fail(Explain(result.error()));
  if (too_long || answer.size() != size) {
    Fail("it answered with " +
         (too_long ? "more than " + std::to_string(size) : std::to_string(answer.size())) +
         " bytes instead of " + std::to_string(size));
  }
  return answer;
}

HttpServices::HttpServices(HttpUrl rng, HttpUrl hasher, const std::stop_token& stop)
    : rng_(std::move(rng), stop), hasher_(std::move(hasher), stop, HttpUpstream::kAnswerTimeout, &rng_) {}

std::string HttpServices::Draw() { return rng_.Get("/" + std::to_string(kRandomBytes), kRandomBytes); }

std::string HttpServices::Hash(const std::string& bytes) {
  std::string digest = hasher_.Post("/", bytes, kDigestDigits);
  if (!IsHexDigest(digest))
    hasher_.Fail("it answered with something other than 64 lower-case hexadecimal digits");
  return digest;
}

}  // namespace dockercoins
