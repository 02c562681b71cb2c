#pragma once  // aggregator/shell/client_examples.h: how many examples each client has, by the partition. Pure
#include <cstdint>
#include <vector>

#include "common/base/result.h"
#include "common/spec/federation.h"
#include "learning/dataset.h"

namespace muster::agg {

struct ClientExamples {
  std::vector<std::uint64_t> trained;   // on which each client trains: what an update of it may weigh
  std::vector<std::uint64_t> held_out;  // with spec.personalization: on which it tests
};

// Errors: kInvalidArgument: a client has more than spec.cohort.maxExamplesPerClient.
[[nodiscard]] Result<ClientExamples> examples_of_clients(const spec::Federation& federation,
                                                         const learning::Dataset& dataset);

// What a client that trains on `trained` examples in all holds of them in `round`: less where they come as a
// stream.
[[nodiscard]] std::uint64_t trained_in_round(const spec::Federation& federation, std::uint64_t trained,
                                             std::int64_t round);

}  // namespace muster::agg
