#pragma once  // operator/core/progress.h: what the agents tell, folded into status.progress and
              // status.history
#include <optional>
#include <string>
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

// As a person reads it, in a table too.
[[nodiscard]] double rounded(double value, int digits);
// For people: "45s", "12m30s", "3h5m", "2d4h".
[[nodiscard]] std::string duration_words(std::int64_t seconds);

// The pod's newest word of its incarnation: its Agent's, or, when it has ended well, its last
// words.
[[nodiscard]] std::optional<control::v1::AgentStatus> agent_status_of(const Pass& pass, const Pod& pod);

// Reads the proto JSON form of AgentStatus, as a pod leaves it in its termination message; fields that a
// newer pod adds are passed over. nullopt when `text` is anything else: last words come from any program.
[[nodiscard]] std::optional<control::v1::AgentStatus> last_words_of(const std::string& text);

// The first of `pods` that has succeeded (exit code 0) without the final status of a training, neither in its
// last words nor by its Agent: what ran was not Muster's program. A sentence that ends with
// `remedy`. nullopt: all that have succeeded have told so.
inline const std::string kNotOurs =
    "only Muster's own program can do spec.training; remove image and command";
[[nodiscard]] std::optional<std::string> success_without_evidence(const Pass& pass,
                                                                  const std::vector<const Pod*>& pods,
                                                                  const std::string& remedy);

// Steps, loss and rates come from rank 0; bytes are those of all members. Nothing heard: progress stays, and
// while members hold the state, steps do not go back. `rank_0`: null: it has no pod. `examples_a_step`: of
// all members together, for the time that is left.
void fold_workers(Pass& pass, const std::vector<const Pod*>& members, const Pod* rank_0,
                  std::int64_t examples_a_step);
void fold_aggregator(Pass& pass, const Pod& aggregator);

// Workers that ended with different parameters; the sentence names two of them. nullopt: all that told agree.
[[nodiscard]] std::optional<std::string> parameters_diverged(const Pass& pass,
                                                             const std::vector<const Pod*>& workers);

}  // namespace muster::op
