// The path of a file that webui serves.
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/temporary_folder.h"
#include "webui/file_folder.h"

namespace dockercoins {
namespace {

/// A folder with files and folders in it, and beside it, and links of every kind between them.
class Tree {
 public:
  Tree() {
    above_.Write("secret", "not to be served");
    above_.Write("files2/secret", "not to be served");
    for (const std::string path : {"a", "b.html", "sub/c.js", "sub/deep/d", "..e"}) {
      const std::string name = "files/" + path;
      above_.Write(name, name);
      paths_.insert(path);
      struct stat status{};
      ::stat((above_.path() / name).c_str(), &status);
      sizes_[status.st_ino] = status.st_size;
    }
    const auto link = [this](const char* target, const char* name) {
      std::filesystem::create_symlink(target, above_.path() / "files" / name);
    };
    link("a", "in");
    link("sub", "down");
    link("../files/a", "round");
    link("../secret", "out");
    link("..", "up");
    link("../..", "sub/up");
    link("/", "root");
    link("loop", "loop");
    link("/proc/self", "self");
    ::mkfifo((above_.path() / "files/fifo").c_str(), 0600);
    folder_.emplace(above_.path() / "files", log_);
  }

  void Check(std::string_view path) const {
    const auto opened = folder_->Open(path);
    Require(opened || !paths_.contains(std::string(path)), "a file in the folder is served", path);
    if (!opened) return;
    struct stat status{};
    ::fstat(opened->fd.get(), &status);
    const auto file = sizes_.find(status.st_ino);
    Require(file != sizes_.end(), "only files in the folder are opened", path);
    Require(static_cast<uint64_t>(file->second) == opened->size, "a file has its size", path);
  }

 private:
  const TemporaryFolder above_;
  std::set<std::string> paths_;   // Of files without links.
  std::map<ino_t, off_t> sizes_;  // Of what may be opened.
  Log log_{"fuzz"};
  std::optional<FileFolder> folder_;
};

}  // namespace
}  // namespace dockercoins

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dockercoins;
  static const Tree tree;
  tree.Check(Text(data, size));
  return 0;
}
