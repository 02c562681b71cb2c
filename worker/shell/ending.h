#pragma once  // worker/shell/ending.h: how a worker ends: its exit code and its last words
#include <string>

#include "common/base/result.h"

namespace muster::worker {

inline constexpr int kExitStopped = 143;  // 128 + SIGTERM: it was asked to

enum class Stage { kStart, kAssignment, kConnect, kData, kResume, kTrain, kStorage };

struct Ending {
  int exit_code = 0;
  std::string message;  // empty on success
};

// A failure of a stage; the operator does not restart jobs whose spec, data or storage is at fault.
[[nodiscard]] Ending ending_of(Stage stage, const Error& error);

}  // namespace muster::worker
