#include "common/http/chunked_body.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "common/http/request_head.h"

namespace dockercoins {
namespace {

/// What is longer in a line, such as an extension, uses up room that all lines of a body share. A size never
/// is.
constexpr size_t kFreeBytes = 16;

/// The next line, without its end; none when it does not arrive, or is malformed, or there is no room for it.
std::optional<std::string> ReadLine(const ReadBytes& read, size_t& room) {
  std::string line;
  for (char c = 0; read(&c, 1) == 1; line += c) {
    if (c == '\n') {
      if (!line.ends_with('\r')) return std::nullopt;
      line.pop_back();
      return HasControlCharacter(line) ? std::nullopt : std::optional(line);
    }
    if (line.size() >= kFreeBytes && room-- == 0) return std::nullopt;
  }
  return std::nullopt;
}

/// The size in a chunk's first line: hexadecimal digits, then nothing or extensions.
std::optional<uint64_t> ChunkSize(std::string_view line) {
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(line.begin(), line.end(), size, 16);
  if (error != std::errc()) return std::nullopt;
  const std::string_view rest = line.substr(static_cast<size_t>(end - line.begin()));
  const bool good =
      rest.empty() || rest.substr(std::min(rest.find_first_not_of(" \t"), rest.size())).starts_with(';');
  return good ? std::optional(size) : std::nullopt;
}

/// Hands over the bytes of one chunk.
bool ReadData(const ReadBytes& read, uint64_t size, const TakeBytes& take) {
  std::array<char, size_t{16} * 1024> buffer;  // NOLINT: 16 KiB need no zeroes
  while (size > 0) {
    const ssize_t count = read(buffer.data(), static_cast<size_t>(std::min<uint64_t>(size, buffer.size())));
    if (count <= 0 || !take(buffer.data(), static_cast<size_t>(count))) return false;
    size -= static_cast<uint64_t>(count);
  }
  return true;
}

/// Reads the headers after the last chunk, which mean nothing here, and the empty line.
bool ReadTrailers(const ReadBytes& read, size_t& room) {
  for (size_t count = 0; count <= RequestHead::kMaxHeaders; ++count) {
    const auto line = ReadLine(read, room);
    if (line == "") return true;
    if (!line || !IsHeader(*line)) return false;
  }
  return false;
}

}  // namespace

bool ReadChunks(const ReadBytes& read, const TakeBytes& take) {
  size_t room = RequestHead::kMaxBytes;
  for (;;) {
    const auto line = ReadLine(read, room);
    const auto size = line ? ChunkSize(*line) : std::nullopt;
    if (!size) return false;
    if (*size == 0) return ReadTrailers(read, room);
    if (!ReadData(read, *size, take) || ReadLine(read, room) != "") return false;
  }
}

}  // namespace dockercoins
