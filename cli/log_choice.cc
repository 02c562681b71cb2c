// cli/log_choice.cc: whose logs are asked for
#include "cli/log_choice.h"

namespace muster::cli {

bool is_asked_for(const PodView& pod, const LogChoice& choice) {
  if (choice.all_ranks) return pod.role == "worker";
  if (!choice.role.empty() && pod.role != choice.role) return false;
  if (!choice.rank) return true;
  return pod.rank == *choice.rank && (!choice.role.empty() || (pod.role != "client" && pod.role != "server"));
}

}  // namespace muster::cli
