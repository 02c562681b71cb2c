// cli/evidence.cc: what the cluster holds besides an object itself: its pods, and events about both
#include "cli/evidence.h"

#include <set>

#include "common/json/access.h"

namespace muster::cli {

Result<std::vector<Json>> pods_of(kube::Client& client, const Json& object) {
  MUSTER_ASSIGN(kube::ListPage page,
                client.list_all(kube::kPods, meta_text(object, "namespace"),
                                {.label_selector = "muster.dev/job-uid=" + meta_text(object, "uid")}));
  return std::move(page.items);
}

std::vector<Json> events_about(const Json& object, const std::vector<Json>& pods, std::vector<Json> events) {
  std::set<std::string> uids{meta_text(object, "uid")};
  for (const Json& pod : pods) uids.insert(meta_text(pod, "uid"));
  std::erase_if(events, [&](const Json& event) {
    return !uids.contains(text(member(event, "involvedObject", "uid")));
  });
  return events;
}

}  // namespace muster::cli
