#pragma once  // operator/core/kueue.h: objects that wait in a queue of Kueue until it admits them; the part
              // of Kueue's protocol that a job's own controller speaks
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

struct PodSet {  // of one role
  std::string role;
  std::int64_t count = 0;
  Json pod;  // one of them, as it is created without an admission
};

struct QueueVerdict {
  enum class Kind {
    kNone,      // in no queue
    kUnknown,   // what is known now decides nothing: everything stays as it is
    kHeld,      // not admitted: no pods
    kAdmitted,  // `hold` has a message: but no new pods now
  };
  Kind kind = Kind::kNone;
  Hold hold{};
};

// Label kueue.x-k8s.io/queue-name is there, or its Workload is not cleared away: asks for SchedulingSeen.
[[nodiscard]] bool needs_queue(const Json& object);

// What is to be asked of the cluster before a pass, besides the Workload.
struct QueueQuestions {
  std::optional<std::pair<std::string, std::string>> priority_class;  // group and name
  std::vector<std::string> flavors;
};
[[nodiscard]] QueueQuestions questions_of(const Json& object, const SchedulingSeen& seen, std::size_t pods);
[[nodiscard]] std::string workload_name(const std::string& kind, const std::string& name,
                                        const std::string& uid);

// May the object have pods? One that runs goes on while Kueue cannot be asked; it is stopped only by what
// Kueue says.
[[nodiscard]] QueueVerdict judge_queue(const Pass& pass, const std::vector<PodSet>& sets);
// Makes, replaces or deletes the Workload, clears an admission once no pod is left, and tells of the pods.
// `wanted`: the spec asks for pods. Sets condition Admitted.
void tend_workload(Pass& pass, const std::vector<PodSet>& sets, const QueueVerdict& verdict, bool wanted);
// Of an object that has ended: once nothing of it runs.
void finish_workload(Pass& pass);
// Puts what the admission says of the role into a pod: node selector, tolerations, labels, annotations, the
// gate of a topology.
void admit(const Pass& pass, const std::string& role, Json& pod);

}  // namespace muster::op
