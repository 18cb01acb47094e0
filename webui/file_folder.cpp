#include "webui/file_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>
#include <vector>

#include "common/errors.h"

namespace dockercoins {
namespace {

/// The kernel's limit (path_resolution(7)).
constexpr int kMaxLinks = 40;

/// The target of the symbolic link `link` (opened with O_PATH | O_NOFOLLOW); none if it is not a link.
std::optional<std::string> LinkTarget(const UniqueFd& link) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(link.get(), "", target.data(), target.size());
  if (size <= 0 || static_cast<size_t>(size) == target.size()) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(size));
}

/// Removes the first name from `path`, with the slashes around it.
std::string TakeName(std::string& path) {
  const size_t begin = std::min(path.find_first_not_of('/'), path.size());
  const size_t end = std::min(path.find('/', begin), path.size());
  std::string name = path.substr(begin, end - begin);
  path.erase(0, std::min(path.find_first_not_of('/', end), path.size()));
  return name;
}

/// Opens `path` name by name, and keeps the folders on the way open: so `..` and links lead no further up
/// than `root`, whatever is renamed meanwhile.
UniqueFd OpenBeneath(int root, std::string path) {
  std::vector<UniqueFd> folders;  // Below the root, down to the current one.
  int links = 0;
  while (!path.empty()) {
    const bool is_folder = path.ends_with('/');
    const std::string name = TakeName(path);
    const bool last = path.empty();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (folders.empty()) return {};
      folders.pop_back();
      continue;
    }
    const int here = folders.empty() ? root : folders.back().get();
    UniqueFd next(::openat(here, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return {};
    if (const auto target = LinkTarget(next)) {
      if (target->starts_with('/') || ++links > kMaxLinks) return {};
      path.insert(0, last && !is_folder ? *target : *target + '/');
    } else if (last) {
      // O_NONBLOCK: opening a pipe must not block. A name with a slash after it is not a file.
      return is_folder
                 ? UniqueFd()
                 : UniqueFd(::openat(here, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    } else {
      folders.push_back(std::move(next));
    }
  }
  return {};
}

}  // namespace

FileFolder::FileFolder(const std::filesystem::path& path)
    : folder_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_) throw StartError("cannot open the folder " + path.string() + ": " + std::strerror(errno));
}

std::optional<OpenFile> FileFolder::Open(std::string_view relative_path) const {
  if (relative_path.find('\0') != std::string_view::npos || relative_path.starts_with('/'))
    return std::nullopt;
  UniqueFd fd = OpenBeneath(folder_.get(), std::string(relative_path));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return OpenFile{.fd = std::move(fd), .size = static_cast<uint64_t>(status.st_size)};
}

std::string_view MediaType(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kTypes = {{
      {".css", "text/css; charset=utf-8"},
      {".gif", "image/gif"},
      {".html", "text/html; charset=utf-8"},
      {".ico", "image/x-icon"},
      {".jpg", "image/jpeg"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json; charset=utf-8"},
      {".map", "application/json; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".png", "image/png"},
      {".svg", "image/svg+xml"},
      {".txt", "text/plain; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
      {".webp", "image/webp"},
      {".woff2", "font/woff2"},
  }};
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

}  // namespace dockercoins
