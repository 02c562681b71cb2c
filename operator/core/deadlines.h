#pragma once  // operator/core/deadlines.h: pods that do not come to run, and training that stands still
#include <initializer_list>
#include <optional>
#include <string>

#include "operator/core/pass.h"

namespace muster::op {

// Keeps status.lastProgressTime: now, when a figure of status.progress named in `figures` has moved.
void note_progress(Pass& pass, std::initializer_list<const char*> figures);

// runPolicy.progressDeadlineSeconds: a restart that counts, when it is known that nothing has moved for so
// long while the pods run. `told`: that the Agent answers, or the program tells its progress at all; of one
// that cannot be heard nothing is known. True when the pass is over. `what`: was not, for people.
[[nodiscard]] bool stands_still(Pass& pass, const spec::RunPolicy& policy, bool told,
                                const std::string& what);
// The same without the restart: its words, where there is to be one.
[[nodiscard]] std::optional<std::string> standstill_of(Pass& pass, const spec::RunPolicy& policy, bool told,
                                                       const std::string& what);
// "step was made after 12", of the figure of that name.
[[nodiscard]] std::string made(const Pass& pass, const char* figure);

// runPolicy.pendingDeadlineSeconds, after the pass has told of its pods: the object fails when they have not
// run for so long, from the start, the resumption or the loss of the last ones.
void judge_pending(Pass& pass, const spec::RunPolicy& policy);

}  // namespace muster::op
