#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/connection.h"
#include "httplib.h"

namespace dockercoins {

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

}  // namespace dockercoins
