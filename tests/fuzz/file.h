#pragma once  // tests/fuzz/file.h: inputs as files, for readers that take a path
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "tests/fuzz/fuzz.h"

namespace muster::fuzz {

class Folder {  // of this process, in memory where there is such a place; removed at exit
 public:
  Folder() {
    std::string name =
        std::filesystem::is_directory("/dev/shm") ? "/dev/shm/muster-fuzz-XXXXXX" : "muster-fuzz-XXXXXX";
    MUSTER_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const char* name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace muster::fuzz
