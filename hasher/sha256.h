#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <memory>
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
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };

  const std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace dockercoins
