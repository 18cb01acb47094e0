#include "webui/file_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/settings.h"

namespace dockercoins {
namespace {

UniqueFd OpenBeneath(int folder, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof(how))));
}

}  // namespace

FileFolder::FileFolder(const std::filesystem::path& path)
    : folder_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_) throw StartError("cannot open the folder " + path.string() + ": " + std::strerror(errno));
  if (!OpenBeneath(folder_.get(), ".", O_PATH | O_DIRECTORY)) {
    // Containers whose seccomp profile does not know the call answer EPERM.
    const bool unknown = errno == ENOSYS || errno == EPERM;
    throw StartError("cannot open files in the folder " + path.string() + ": " + std::strerror(errno) +
                     (unknown ? " (openat2 is needed: Linux 5.6 or newer)" : ""));
  }
}

std::optional<OpenFile> FileFolder::Open(std::string_view relative_path) const {
  if (relative_path.find('\0') != std::string_view::npos) return std::nullopt;
  // O_NONBLOCK: a pipe in the folder must not hold the request up before it is found out.
  UniqueFd fd = OpenBeneath(folder_.get(), std::string(relative_path).c_str(), O_RDONLY | O_NONBLOCK);
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
