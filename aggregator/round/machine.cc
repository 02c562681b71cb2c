// aggregator/round/machine.cc: what both machines say
#include "aggregator/round/machine.h"

#include <fmt/format.h>

namespace muster::agg {

Status check_client(ClientId client, std::int64_t clients) {
  if (client >= 0 && client < clients) return {};
  return invalid_argument(fmt::format(
      "client {} is not of this federation, whose clients are 0 to {}; give its pod the spec that "
      "the aggregator has",
      client, clients - 1));
}

Error no_open_task(const std::string& task_id, bool known) {
  if (known) return aborted(fmt::format("task \"{}\" is over; check in again for another", task_id));
  return not_found(fmt::format("no task \"{}\" is known here; check in again for another", task_id));
}

Error out_of_place(std::string_view event, const std::string& task_id) {
  return failed_precondition(
      fmt::format("{} of task \"{}\" does not fit: the task is not open", event, task_id));
}

}  // namespace muster::agg
