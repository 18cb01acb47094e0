#include "common/http/outgoing_responses.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>
#include <utility>

#include "common/http/response_bytes.h"
#include "common/socket.h"

namespace dockercoins {
namespace {

/// For a slow reader the system keeps no more than this; it is memory of this process' container.
constexpr int kSendBufferBytes = 16 * 1024;
/// The memory of one reader besides its response: this stage's object, and what the loop keeps.
constexpr size_t kConnectionBytes = 480;
/// A slow client frees less than what makes its socket writable again, so how much it took is looked up.
constexpr auto kLook = std::chrono::milliseconds(100);

}  // namespace

/// One connection of this stage.
class OutgoingResponses::Reader final : public EventHandler {
 public:
  Reader(OutgoingResponses& stage, Outgoing its, httplib::Response response, bool is_head)
      : EventHandler(stage.loop_),
        outgoing(std::move(its)),
        bytes(std::move(response), outgoing.record, is_head, stage.log_),
        share(stage.budget_),
        stage_(stage) {
    outgoing.record.status = bytes.status();
  }

  void OnEvent(int /*fd*/) override { stage_.Write(*this); }
  void OnDeadline() override { stage_.Look(*this); }

  /// How many bytes the client has acknowledged.
  [[nodiscard]] uint64_t Acknowledged() const {
    return sent - std::min<uint64_t>(sent, UnacknowledgedBytes(outgoing.fd.get()));
  }
  [[nodiscard]] size_t Bytes() const {
    return kConnectionBytes + bytes.Bytes() + BytesOf(outgoing.record.request_line);
  }

  Outgoing outgoing;
  ResponseBytes bytes;
  Budget::Share share;
  uint64_t sent = 0;  ///< What the system has taken.
  const Clock::time_point begun = Clock::now();
  Clock::time_point progress = begun;  ///< When the client was last seen to have taken something,
  uint64_t taken = 0;                  ///< and how much it had by then.
  Readers::iterator place;

 private:
  OutgoingResponses& stage_;
};

OutgoingResponses::OutgoingResponses(EventLoop& loop, Budget& budget, const Limits& limits, Log& log, Done done)
    : loop_(loop), budget_(budget), limits_(limits), log_(log), done_(std::move(done)) {}

OutgoingResponses::~OutgoingResponses() = default;

void OutgoingResponses::Add(Outgoing outgoing, httplib::Response response, bool is_head) {
  auto& added = *readers_.emplace_back(
      std::make_unique<Reader>(*this, std::move(outgoing), std::move(response), is_head));
  added.place = std::prev(readers_.end());
  added.share.Set(added.Bytes());
  if (!Write(added)) return;
  ::setsockopt(added.outgoing.fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof(kSendBufferBytes));
  added.outgoing.fd.Watch(EPOLLOUT, added);
  added.SetDeadline(added.begun + kLook);
  if (readers_.size() > limits_.readers) CutOffSlowest();
}

bool OutgoingResponses::Write(Reader& reader) {
  const auto piece = reader.bytes.Next();
  if (!piece) {
    // The reset tells the client that something is missing.
    ResetOnClose(reader.outgoing.fd.get());
    End(reader, reader.sent, false);
    return false;
  }
  // The end of the connection follows the last piece, in the same packet.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (reader.bytes.HasMore() ? 0 : MSG_MORE);
  const ssize_t count = ::send(reader.outgoing.fd.get(), piece->data(), piece->size(), flags);
  if (count < 0) {
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!later) End(reader, reader.sent, false);
    return later;
  }
  const auto written = static_cast<size_t>(count);
  const bool is_whole = written == piece->size() && !reader.bytes.HasMore();
  reader.sent += written;
  reader.bytes.Advance(written);
  reader.share.Set(reader.Bytes());
  if (is_whole) End(reader, reader.sent, true);
  return !is_whole;
}

void OutgoingResponses::Look(Reader& reader) {
  const auto now = EventHandler::Clock::now();
  const uint64_t taken = reader.Acknowledged();
  if (taken > reader.taken) reader.progress = now;
  reader.taken = taken;
  if (now - reader.progress >= limits_.pause || now - reader.begun >= limits_.time) {
    CutOff(reader);
  } else {
    reader.SetDeadline(now + std::min<EventHandler::Clock::duration>(kLook, limits_.pause / 4));
  }
}

bool OutgoingResponses::CutOffSlowest() {
  if (readers_.empty()) return false;
  CutOff(**std::ranges::min_element(readers_, {}, [](const auto& reader) { return reader->progress; }));
  return true;
}

void OutgoingResponses::CutOffAll() {
  while (!readers_.empty()) CutOff(*readers_.front());
}

void OutgoingResponses::CutOff(Reader& reader) {
  ResetOnClose(reader.outgoing.fd.get());
  End(reader, reader.Acknowledged(), false);
}

void OutgoingResponses::End(Reader& reader, uint64_t bytes, bool is_whole) {
  const auto taken = std::move(*reader.place);
  readers_.erase(taken->place);
  taken->outgoing.record.body_bytes = bytes - std::min(bytes, taken->bytes.head_bytes());
  done_(std::move(taken->outgoing), is_whole);
}

}  // namespace dockercoins
