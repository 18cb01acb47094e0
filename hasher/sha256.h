#pragma once

#include <openssl/sha.h>

#include <cstddef>
#include <string>

namespace dockercoins {

/// SHA-256 (FIPS 180-4) of data that comes in pieces. Not thread-safe. Throws std::runtime_error if OpenSSL
/// fails.
class Sha256 {
 public:
  Sha256();

  /// Adds the next piece.
  void Update(const char* data, size_t size);
  /// The digest of all pieces, in 64 lower-case hexadecimal digits. Ends the computation.
  [[nodiscard]] std::string HexDigest();

 private:
  SHA256_CTX context_{};
};

}  // namespace dockercoins
