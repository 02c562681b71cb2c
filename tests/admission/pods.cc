// tests/admission/pods.cc: the pods that the operator makes of an object, as the API server judges them
#include "tests/admission/pods.h"

#include <map>

#include "operator/core/template_words.h"
#include "tests/operator/core/cluster_model.h"

namespace muster::admission {
namespace {

constexpr int kPasses = 4;  // the status, the keys, the pods

struct Made {
  Json manifest;
  std::string part;
};

}  // namespace

std::string refusal_of_pods(Server& server, const Json& object) {
  Json known = object;
  known["metadata"]["uid"] = "0b1b2b3b-uid";
  known["metadata"]["generation"] = 1;
  op::testing::ClusterModel cluster(known);
  cluster.defaults.progress_url = "https://here:8443";
  std::map<std::string, Made> made;  // by part: the pods of one template are alike
  for (int pass = 0; pass < kPasses; ++pass) {
    for (const op::Action& action : cluster.decide().actions) {
      if (const auto* create = std::get_if<op::CreatePod>(&action))
        made.try_emplace(create->part, Made{create->manifest, create->part});
      if (const auto* check = std::get_if<op::CheckPod>(&action))
        made.try_emplace(check->part, Made{check->manifest, check->part});
      (void)cluster.apply(action);
    }
    cluster.now += std::chrono::milliseconds(100);  // before the shortest deadline
  }
  EXPECT_FALSE(cluster.is("Failed")) << cluster.condition("Failed")->message;
  for (const auto& [part, pod] : made) {
    const Verdict verdict = server.create_pod(pod.manifest);
    if (!verdict.taken()) return op::in_template(verdict.message, pod.manifest, part);
  }
  return "";
}

}  // namespace muster::admission
