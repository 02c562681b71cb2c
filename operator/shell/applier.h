#pragma once  // operator/shell/applier.h: carries out a Decision: writes in order, stops at the first that
              // fails
#include <functional>
#include <vector>

#include "operator/control/agents.h"
#include "operator/shell/children.h"
#include "operator/shell/history_writer.h"

namespace muster::op {

class Applier {
 public:
  struct Options {
    std::function<void(const Subject&, const Json& before, const Json& after)> on_status;  // for counters
    // Whether a call that changes something may begin; of requests to the API server the client asks, too.
    std::function<Result<Deadline>()> may_write{};
    HistoryLimits history{};
  };
  static constexpr int kLanes = 8;  // writes of batches at once, besides one of each pass
  Applier(kube::Client& client, ClusterCache& cache, Agents& agents, kube::EventRecorder& events,
          const Issuer& issuer, Options options)
      : client_(client),
        cache_(cache),
        agents_(agents),
        events_(events),
        options_(std::move(options)),
        lanes_(kLanes),
        children_(client, cache, events, issuer, lanes_),
        history_(client, options_.history) {}

  // False: it is done by others, later.
  [[nodiscard]] static bool waits_for_an_answer(const Action& action) {
    return !std::holds_alternative<ConfigurePod>(action) && !std::holds_alternative<EmitEvent>(action);
  }

  // What happened up to the first failure is in `applied`, whatever is returned. Errors: kAborted: the
  // snapshot was stale. kNotFound: the object is gone. kPermissionDenied, kInvalidArgument: the server will
  // not take it, ever.
  [[nodiscard]] Status apply(const Subject& subject, const std::vector<Action>& actions,
                             ApplyResult& applied);

 private:
  struct Pass;
  struct Removal {
    Status status;
    bool was_gone = false;
  };
  Status apply_one(Pass& pass, const Action& action);
  void tell_refused(const Pass& pass, const Action& action, const Status& done);
  Status remove_pods(Pass& pass, std::span<const Action> deletes);
  Removal remove_pod(const Subject& subject, const DeletePod& action);
  Status operator()(Pass& pass, const CheckPod& action);
  Status operator()(Pass& pass, const DeleteChild& action);
  Status operator()(Pass& pass, const PatchChildStatus& action);
  Status operator()(Pass& pass, const ConfigurePod& action);
  Status operator()(Pass& pass, const PatchStatus& action);
  Status operator()(Pass& pass, const DeleteObject& action);
  Status operator()(Pass& pass, const RecordHistory& action);
  Status operator()(Pass& pass, const EmitEvent& action);

  kube::Client& client_;
  ClusterCache& cache_;
  Agents& agents_;
  kube::EventRecorder& events_;
  Options options_;
  Lanes lanes_;
  Children children_;
  HistoryWriter history_;
};

}  // namespace muster::op
