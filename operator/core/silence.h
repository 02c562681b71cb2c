#pragma once  // operator/core/silence.h: pods that run, and do not answer the operator
#include <vector>

#include "operator/core/pass.h"

namespace muster::op {

inline constexpr const char* kPodsSilent = "PodsSilent";

// Condition PodsSilent: one of these has answered, and has not for 15 s (AnswersNoMore); or it has run for a
// minute, and its Agent has not said a word: beside a
// program of the user's own because that has not connected to Muster's worker, else because the port is
// closed to the operator. Only of pods that are followed.
void tell_silence(Pass& pass, const std::vector<const Pod*>& pods);

}  // namespace muster::op
