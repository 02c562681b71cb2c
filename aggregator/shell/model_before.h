#pragma once  // aggregator/shell/model_before.h: of which model the rounds are from which a federation goes
              // on
#include <optional>
#include <string>

#include "aggregator/shell/model_intake.h"
#include "common/spec/federation.h"

namespace muster::agg {

// Of the newest whole file in spec.aggregator.storage.path that RoundStore would resume from; nothing where
// there is none, or where it is of another federation, which RoundStore refuses in its words. Only reads.
[[nodiscard]] std::optional<ModelBefore> model_before(const spec::Federation& federation,
                                                      const std::string& uid);

}  // namespace muster::agg
