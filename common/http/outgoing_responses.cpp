#include "common/http/outgoing_responses.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "common/socket.h"

namespace dockercoins {
namespace {

/// For a slow reader the system keeps no more than this; it is memory of this process' container.
constexpr int kSendBufferBytes = 16 * 1024;
/// A slow client frees less than what makes its socket writable again, so how much it took is looked up.
constexpr auto kLook = std::chrono::milliseconds(100);

}  // namespace

OutgoingResponse::OutgoingResponse(OutgoingResponses& in, WatchedFd socket, RequestRecord of,
                                   httplib::Response response, bool client_may_still_send, bool is_head)
    : Connection(in.loop_, in.budget_, std::move(socket)),
      stage(in),
      record(std::move(of)),
      bytes(std::move(response), record, is_head, in.log_),
      may_still_send(client_may_still_send) {
  record.status = bytes.status();
  CountBytes();
}

void OutgoingResponse::CountBytes() { Holds(sizeof(*this) + bytes.Bytes() + BytesOf(record.request_line)); }

void OutgoingResponse::OnEvent(int /*fd*/) {
  const auto count = DropInput(fd.get());
  may_still_send |= count.value_or(0) > 0;
  if (!count) fd.Watch(EPOLLOUT, *this);  // The end of the input stays readable.
  stage.Write(*this);
}
void OutgoingResponse::OnDeadline() { stage.Look(*this); }

uint64_t OutgoingResponse::Acknowledged() const {
  return sent - std::min<uint64_t>(sent, UnacknowledgedBytes(fd.get()));
}

OutgoingResponses::OutgoingResponses(EventLoop& loop, Budget& budget, const Limits& limits, Log& log,
                                     Done done)
    : loop_(loop), budget_(budget), limits_(limits), log_(log), done_(std::move(done)) {}

void OutgoingResponses::Add(WatchedFd fd, RequestRecord record, httplib::Response response,
                            bool may_still_send, bool is_head) {
  auto& added = outgoing_.Add(std::make_unique<OutgoingResponse>(
      *this, std::move(fd), std::move(record), std::move(response), may_still_send, is_head));
  if (!Write(added)) return;
  ::setsockopt(added.fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof(kSendBufferBytes));
  added.fd.Watch(EPOLLIN | EPOLLOUT, added);
  added.SetDeadline(added.begun + kLook);
  if (outgoing_.size() > limits_.readers) CutOffSlowest();
}

bool OutgoingResponses::Write(OutgoingResponse& outgoing) {
  const auto piece = outgoing.bytes.Next();
  if (!piece) {
    CutOff(outgoing, outgoing.sent);
    return false;
  }
  // The end of the connection follows the last piece, in the same packet.
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (outgoing.bytes.HasMore() ? 0 : MSG_MORE);
  const ssize_t count = ::send(outgoing.fd.get(), piece->data(), piece->size(), flags);
  if (count < 0) {
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!later) End(outgoing, outgoing.sent, false);
    return later;
  }
  const auto written = static_cast<size_t>(count);
  const bool is_whole = written == piece->size() && !outgoing.bytes.HasMore();
  outgoing.sent += written;
  outgoing.bytes.Advance(written);
  outgoing.CountBytes();
  if (is_whole) End(outgoing, outgoing.sent, true);
  return !is_whole;
}

void OutgoingResponses::Look(OutgoingResponse& outgoing) {
  const auto now = EventHandler::Clock::now();
  const uint64_t taken = outgoing.Acknowledged();
  if (taken > outgoing.taken) outgoing.progress = now;
  outgoing.taken = taken;
  if (now - outgoing.progress >= limits_.pause || now - outgoing.begun >= limits_.time) {
    CutOff(outgoing, taken);
  } else {
    outgoing.SetDeadline(now + std::min<EventHandler::Clock::duration>(kLook, limits_.pause / 4));
  }
}

bool OutgoingResponses::CutOffSlowest() {
  if (IsEmpty()) return false;
  OutgoingResponse& slowest =
      **std::ranges::min_element(outgoing_, {}, [](const auto& outgoing) { return outgoing->progress; });
  CutOff(slowest, slowest.Acknowledged());
  return true;
}

void OutgoingResponses::CutOff(OutgoingResponse& outgoing, uint64_t bytes) {
  // The client learns that something is missing, and the kernel does not keep the rest for minutes.
  ResetOnClose(outgoing.fd.get());
  End(outgoing, bytes, false);
}

void OutgoingResponses::End(OutgoingResponse& outgoing, uint64_t bytes, bool is_whole) {
  const auto taken = outgoing_.Take(outgoing);
  taken->record.body_bytes = bytes - std::min(bytes, taken->bytes.head_bytes());
  done_(*taken, is_whole);
}

}  // namespace dockercoins
