// aggregator/shell/client_examples.cc: the parts of a dataset, counted
#include "aggregator/shell/client_examples.h"

#include <fmt/format.h>

#include <algorithm>

#include "learning/held_out.h"
#include "learning/partition.h"
#include "learning/stream.h"

namespace muster::agg {

Result<ClientExamples> examples_of_clients(const spec::Federation& federation,
                                           const learning::Dataset& dataset) {
  const auto seed = static_cast<std::uint64_t>(federation.training.seed);
  MUSTER_ASSIGN(const auto parts,
                learning::partition_examples(dataset, federation.partition, federation.clients, seed));
  const auto limit = static_cast<std::size_t>(spec::examples_limit(federation.cohort));
  ClientExamples examples;
  for (const auto& part : parts) {
    if (part.size() > limit)
      return invalid_argument(
          fmt::format("spec.cohort.maxExamplesPerClient: client {} holds {} examples, more than {}, so that "
                      "every update of it would be refused; raise it, or spec.clients.count",
                      examples.trained.size(), part.size(), limit));
    const std::size_t aside =
        federation.personalization ? learning::held_out_count(part.size(), learning::kHeldOutShare) : 0;
    examples.trained.push_back(part.size() - aside);
    if (federation.personalization) examples.held_out.push_back(aside);
  }
  return examples;
}

std::uint64_t trained_in_round(const spec::Federation& federation, std::uint64_t trained,
                               std::int64_t round) {
  if (!federation.stream || trained == 0) return trained;
  const learning::StreamWindow window = learning::window_of(
      *federation.stream, static_cast<std::int64_t>(trained), std::max<std::int64_t>(round, 1));
  return static_cast<std::uint64_t>(window.end - window.begin);
}

}  // namespace muster::agg
