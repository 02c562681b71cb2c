#pragma once  // local/run_folder.h: the private folder of one run: locked while it lives, then removed
#include <filesystem>
#include <memory>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {

class RunFolder {
 public:
  // Makes PARENT/muster-run-<uid>-XXXXXX with mode 0700. Empty parent: $XDG_RUNTIME_DIR if it is usable, else
  // the temporary folder, else /tmp. Only a parent with a plain name is usable (stands_anywhere()). Folders
  // of earlier runs whose process is gone are removed first, with what still runs of them.
  [[nodiscard]] static Result<std::unique_ptr<RunFolder>> create(std::filesystem::path parent);
  ~RunFolder();  // removes it
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  RunFolder(std::filesystem::path path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace muster::local
