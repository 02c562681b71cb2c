#pragma once  // tests/worker/nccl/fake.h: the fakes of NCCL in this process
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "worker/nccl/group.h"

namespace muster::worker::nccl::test {

enum class Fake { kCurrent, kOld };  // kOld: of a version that cannot shrink

inline Library::Names names_of(Fake fake) {
  const std::string folder =
      std::string(MUSTER_FAKE_NCCL_FOLDER) + (fake == Fake::kCurrent ? "/fake_nccl/" : "/fake_nccl_old/");
  return {.nccl = {folder + "libnccl.so.2"}, .cuda = {folder + "libcudart.so.13"}};
}

// Rules of faults.h for as long as it lives; whatever hangs returns then.
class Faulty {
 public:
  explicit Faulty(const std::string& rules, Fake fake = Fake::kCurrent) {
    void* const handle = dlopen(names_of(fake).nccl.front().c_str(), RTLD_NOW | RTLD_LOCAL);
    // NOLINTNEXTLINE(*-reinterpret-cast): what dlsym gives for a function is its address
    set_ = reinterpret_cast<void (*)(const char*)>(dlsym(handle, "muster_fake_nccl_faults"));
    EXPECT_NE(set_, nullptr);
    if (set_ != nullptr) set_(rules.c_str());
  }
  ~Faulty() {
    if (set_ != nullptr) set_("");
  }
  Faulty(const Faulty&) = delete;
  Faulty& operator=(const Faulty&) = delete;

 private:
  void (*set_)(const char*) = nullptr;
};

}  // namespace muster::worker::nccl::test
