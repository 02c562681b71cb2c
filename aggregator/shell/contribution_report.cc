// aggregator/shell/contribution_report.cc: two files, and a few records for the status
#include "aggregator/shell/contribution_report.h"

#include <array>
#include <string>
#include <utility>

#include "learning/atomic_file.h"

namespace muster::agg {
namespace {

Status write(const std::filesystem::path& path, const std::string& text) {
  const std::array<std::span<const std::byte>, 1> parts{std::as_bytes(std::span(text))};
  return learning::write_atomically(path, parts);
}

void put(const ClientRecord& record, control::v1::ClientContribution& told) {
  told.set_client(record.client);
  told.set_gain(record.gain);
  told.set_weight(record.weight);
  told.set_updates(record.updates);
  told.set_harmful(record.harmful);
  told.set_copies(record.copies);
}

}  // namespace

Status ContributionReport::update(std::span<const learning::SlotView> state, std::int64_t round) {
  const std::vector<ClientRecord> records = records_of(state, clients_);
  if (records.empty()) return {};
  ScoredUpdates scored;
  for (const ClientRecord& it : records) {
    scored.scored += it.updates;
    scored.harmful += it.harmful;
    scored.copies += it.copies;
  }
  metrics_.set_scored(scored);
  Ends ends = ends_of(records, kToldMax);
  {
    const MutexLock lock(mutex_);
    ends_ = std::move(ends);
  }
  if (folder_.empty()) return {};
  MUSTER_TRY(write(folder_ / "contributions.csv", csv_of(records)));
  return write(folder_ / "contributions.svg", drawing_of(records, round));
}

void ContributionReport::tell(control::v1::AggregatorProgress& progress) const {
  const MutexLock lock(mutex_);
  for (const ClientRecord& it : ends_.top) put(it, *progress.add_contributions_top());
  for (const ClientRecord& it : ends_.bottom) put(it, *progress.add_contributions_bottom());
}

}  // namespace muster::agg
