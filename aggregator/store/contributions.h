#pragma once  // aggregator/store/contributions.h: what each client did to the loss, as a table and a drawing
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "learning/optimizer_state.h"

namespace muster::agg {

struct ClientRecord {  // of Contributions (strategy/scoring.h), for one client with an update
  std::int32_t client = 0;
  double gain = 0;
  double weight = 0;
  std::int64_t updates = 0;
  std::int64_t harmful = 0;
  std::int64_t copies = 0;
};

// Of the clients that sent anything, by number. `clients`: of the federation. Nothing where `state` is none
// of Scoring's.
[[nodiscard]] std::vector<ClientRecord> records_of(std::span<const learning::SlotView> state,
                                                   std::size_t clients);
// The best `most` by gain, best first, and of the others the worst `most`, worst first; of equals the client
// with the smaller number is the better one.
struct Ends {
  std::vector<ClientRecord> top;
  std::vector<ClientRecord> bottom;
};
[[nodiscard]] Ends ends_of(std::vector<ClientRecord> records, std::size_t most);
// `client,gain,weight,updates,harmful,copies`, a line for each.
[[nodiscard]] std::string csv_of(std::span<const ClientRecord> records);
// Bars of the gains of the best and the worst, an SVG drawing of 900 pixels' width.
[[nodiscard]] std::string drawing_of(std::vector<ClientRecord> records, std::int64_t round);

}  // namespace muster::agg
