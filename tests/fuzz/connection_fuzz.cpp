// What a client sends to rng, hasher or webui, through to the response: the real server, with its threads, on
// a Unix socket. An input is r, h or w, then the bytes; kCut ends a packet.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "common/http/http_server.h"
#include "common/service/access_log.h"
#include "hasher/hasher_service.h"
#include "hasher/sha256.h"
#include "rng/rng_service.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http_rules.h"
#include "webui/webui_service.h"

namespace dockercoins {
namespace {

/// A client that has so much of a response leaves.
constexpr size_t kEnough = size_t{64} * 1024;
/// A machine may have little time for this process.
constexpr auto kPatience = std::chrono::seconds(240);

/// A Redis whose data the client chose. Thread-safe: webui also reads by itself.
class FakeCounters final : public CountersReader {
 public:
  Counters Read(std::chrono::steady_clock::time_point /*asked*/) override {
    const std::lock_guard lock(mutex_);
    if (text_.ends_with('!')) throw std::runtime_error(text_);
    return {.coins = static_cast<int64_t>(text_.size()), .hashes = text_};
  }
  void Set(std::string_view text) {
    const std::lock_guard lock(mutex_);
    text_ = text;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = sizeof(address);
};

/// Listens on a free abstract address.
ListenSocket ListenOnUnix(UnixAddress& at) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr any{};
  any.sa_family = AF_UNIX;
  Require(::bind(fd.get(), &any, sizeof(any.sa_family)) == 0 && ::listen(fd.get(), SOMAXCONN) == 0 &&
              ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at.address), &at.size) == 0,
          "there is a socket");
  return {.fd = std::move(fd), .port = 0};
}

/// One of the services, for as long as the process.
class Served {
 public:
  Served(Routes routes, const HttpServer::Options& options, Log& log)
      : routes_(std::move(routes)),
        metrics_(registry_),
        access_log_(log, metrics_),
        server_(ListenOnUnix(address_), WithRecords(options), routes_, log) {
    server_.Start();
  }

  [[nodiscard]] UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    Require(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_.address), address_.size) == 0,
            "the server accepts connections");
    return fd;
  }

 private:
  [[nodiscard]] HttpServer::Options WithRecords(HttpServer::Options options) const {
    options.record = [this](const RequestRecord& record) { access_log_.Write(record); };
    options.waiting = metrics_.Waiting();
    return options;
  }

  const Routes routes_;
  Metrics registry_;
  const HttpMetrics metrics_;
  const AccessLog access_log_;
  UnixAddress address_;
  HttpServer server_;
};

struct World {
  const UniqueFd nowhere{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Log log{"fuzz", true, nowhere.get()};
  const SimulatedWork no_work{std::chrono::milliseconds(0), 0, log};
  const RngService rng_service{"host", no_work};
  const HasherService hasher_service{"host", no_work};
  FakeCounters counters;
  WebuiService webui_service{counters, FUZZ_FILES, FUZZ_FILES, log};
  const Served rng{rng_service.MakeRoutes(), {.threads = 1, .withdraw_clients_that_left = true}, log};
  const Served hasher{hasher_service.MakeRoutes(), {.threads = 2}, log};
  const Served webui{webui_service.MakeRoutes(), {.threads = 2}, log};

  [[nodiscard]] const Served* Find(char letter) const {
    return letter == 'r' ? &rng : letter == 'h' ? &hasher : letter == 'w' ? &webui : nullptr;
  }
};

/// Waits until the other side has read everything. Gives up early when it does not read for now.
void AwaitTaken(const UniqueFd& fd) {
  int queued = 0;
  for (int i = 0; i < 100 && ::ioctl(fd.get(), SIOCOUTQ, &queued) == 0 && queued > 0; ++i) ::sched_yield();
}

/// Sends the packets and ends; returns what comes back, kEnough or a little more at most.
std::string Talk(const UniqueFd& fd, const std::vector<std::string>& packets) {
  for (const std::string& packet : packets) {
    if (::send(fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) break;
    if (&packet != &packets.back()) AwaitTaken(fd);
  }
  ::shutdown(fd.get(), SHUT_WR);
  std::string received;
  std::array<char, 16384> buffer{};
  while (received.size() < kEnough) {
    const ssize_t count = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;  // libFuzzer's own timer
    Require(count >= 0 || errno == ECONNRESET, "the server ends every connection",
            count < 0 ? std::strerror(errno) : "");
    if (count <= 0) break;
    received.append(buffer.data(), static_cast<size_t>(count));
  }
  return received;
}

void Compare(const Reading& reading, const std::optional<Checked>& response) {
  const bool is_refused = response && response->status >= 400 && response->status < 500;
  const bool lacks_body = reading.is_good && reading.method == "POST" && !reading.body;
  Require(response || !reading.is_whole || lacks_body, "every request is answered");
  if (!response) return;
  Require(is_refused || (reading.is_good && !lacks_body), "only a whole and good request is served");
  Require(response->status != 500, "no handler fails", response->body);
  Require(reading.expects_continue || !response->told_to_continue,
          "100 Continue is for those who wait for it");
  Require(!response->media_type.starts_with("application/json") || reading.method == "HEAD" ||
              nlohmann::json::accept(response->body),
          "JSON is JSON", response->body);
  if (reading.method == "POST" && response->status == 200) {
    Sha256 sha256;
    sha256.Update(reading.body->data(), reading.body->size());
    Require(response->body == sha256.HexDigest(), "the digest is that of the body as the client meant it",
            *reading.body);
  }
}

}  // namespace
}  // namespace dockercoins

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dockercoins;
  static World& world = *new World;  // Its threads run until the process ends.
  const std::string_view input = Text(data, size);
  const Served* served = input.empty() ? nullptr : world.Find(input.front());
  if (served == nullptr) return -1;
  world.counters.Set(input.substr(input.size() - std::min<size_t>(input.size(), 16)));
  const std::vector<std::string> packets = Split(input.substr(1), kCut);
  std::string sent;
  for (const std::string& packet : packets) sent += packet;
  const std::string received = Talk(served->Connect(), packets);
  while (sent.starts_with("\r\n")) sent.erase(0, 2);  // RFC 9112, section 2.2
  const bool cut = received.size() >= kEnough;        // More may have followed.
  Compare(ReadRequest(sent), CheckResponse(received, sent.starts_with("HEAD "), cut));
  return 0;
}
