#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "common/connection.h"
#include "httplib.h"

namespace dockercoins {

/// The connection as httplib reads and writes it: first what was received, then the socket.
///
/// Answers are collected into few writes. A client that takes nothing for a second, or whose request does not
/// arrive in time, is cut off: reads and writes fail. For one thread.
class ConnectionStream final : public httplib::Stream {
 public:
  explicit ConnectionStream(Connection& connection) : connection_(connection) {}

  [[nodiscard]] bool is_readable() const override { return true; }
  [[nodiscard]] bool is_writable() const override { return !failed_; }
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return connection_.fd.get(); }
  using httplib::Stream::write;

  /// Sends what was collected. Returns false when the client could not be given all of the answer.
  bool Flush();

  /// The status that was answered, if any ("100 Continue" is not an answer).
  [[nodiscard]] std::optional<int> status() const { return status_; }
  /// How many bytes of the answer's body the client's side has taken.
  [[nodiscard]] uint64_t body_bytes() const {
    return status_ && sent_ > head_bytes_ ? sent_ - head_bytes_ : 0;
  }

 private:
  ssize_t ReadSocket(char* data, size_t size);
  bool Send(const char* data, size_t size);

  Connection& connection_;
  size_t taken_ = 0;   ///< Of connection_.received.
  uint64_t read_ = 0;  ///< From the socket, beyond connection_.received.
  std::string unsent_;
  uint64_t sent_ = 0;
  uint64_t head_bytes_ = 0;  ///< Everything up to the end of the answer's head.
  std::optional<int> status_;
  bool failed_ = false;
};

}  // namespace dockercoins
