#pragma once  // exec/wire.h: the few messages of proto/control.proto that muster-exec reads and writes. Pure
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace muster::exec {

using Environment = std::vector<std::pair<std::string, std::string>>;

struct Assignment {
  std::string uid, pod_uid;  // of the object, of the receiver
  std::int64_t membership = 0;
  bool for_exec = false;  // it is for this program; what follows counts only then
  bool start = false;
  Environment environment;
};

struct WatchRequest {
  std::string pod_uid;
  std::int64_t membership = 0;
};

// How a command ended by itself.
struct CommandEnd {
  std::int64_t membership = 0;
  int exit_code = 0;
  std::string words;
  friend bool operator==(const CommandEnd&, const CommandEnd&) = default;
};

enum class Phase { kWaiting = 1, kStarting = 2, kRunning = 3 };  // the numbers of control.v1.Phase

struct Told {
  std::int64_t membership = 0;
  Phase phase = Phase::kWaiting;
  std::string message{}, pod_uid{};
  bool ready = false;
  std::int64_t starts = 0;
  std::optional<CommandEnd> end{};
  friend bool operator==(const Told&, const Told&) = default;
};

// Protobuf's encoding, by hand, so that no library of a megabyte is linked. Fields that are not known here
// are passed over, as every reader of protobuf does. Error: kInvalidArgument: the bytes are no message.
[[nodiscard]] Result<Assignment> read_assignment(std::string_view bytes);
[[nodiscard]] Result<WatchRequest> read_watch_request(std::string_view bytes);
[[nodiscard]] std::string write_status(const Told& told);

}  // namespace muster::exec
