#pragma once  // device/shell/model_offer.h: a program's model, as the federation's or compared with it
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/program/protocol.h"
#include "pod/credentials.h"

namespace muster::device {

struct ModelToOffer {
  const std::vector<program::TensorShape>& tensors;
  std::span<const float> values;  // [P] the initial parameters
};

// Until the aggregator has it, or another one that is the same, tries again while it does not answer. Errors:
// kInvalidArgument: the federation's model is another; kUnavailable: no answer until `deadline`; kAborted:
// `stopped` says so.
// `proxy`: make_channel's.
[[nodiscard]] Status offer_model(const std::string& aggregator, const Credentials& credentials,
                                 const std::string& proxy, const ModelToOffer& model, Deadline deadline,
                                 const std::function<bool(std::chrono::milliseconds)>& stopped);

}  // namespace muster::device
