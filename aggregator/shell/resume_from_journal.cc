// aggregator/shell/resume_from_journal.cc: reads the journal, makes its closed rounds again, begins a new
// file
#include "aggregator/shell/resume_from_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "aggregator/store/posix_disk.h"
#include "common/crypto/hkdf.h"

namespace muster::agg {
namespace {

constexpr std::uint64_t kRecordBytes = 1024;                  // around an update, with its task's
constexpr std::uint64_t kFileBytes = std::uint64_t{1} << 20;  // files begin anew when they have so many
constexpr std::uint64_t kSlackBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kRounds = 3;      // one on its way to disk, one that is finished, one under way
constexpr std::uint64_t kLateRounds = 4;  // whose updates may still come where late ones count

Result<std::uint64_t> random_salt() {
  std::uint64_t salt = 0;
  MUSTER_ASSIGN(const auto bytes, random_key(sizeof(salt)));
  std::memcpy(&salt, bytes.data(), sizeof(salt));
  return salt;
}

// What was set aside, and the folder with it, stay.
void remove_journal(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator it(folder, ignored), end; !ignored && it != end;
       it.increment(ignored))
    if (it->path().extension() == ".journal" || it->path().extension() == ".new") files.push_back(it->path());
  for (const auto& file : files) std::filesystem::remove(file, ignored);
  std::filesystem::remove(folder, ignored);
}

// That a strategy remembers, at most.
std::uint64_t vectors_of(const std::string& strategy) {
  if (strategy == "FedAdam" || strategy == "FedYogi" || strategy == "FedAdagrad") return 2;
  return strategy == "FedAvgM" || strategy == "Nesterov" || strategy == "SCAFFOLD" ? 1 : 0;
}

}  // namespace

JournalVolume journal_volume(const spec::Federation& federation, std::uint64_t parameters) {
  const std::uint64_t update = parameters * sizeof(float) + kRecordBytes;
  const auto selected = static_cast<std::uint64_t>(spec::selection_count(federation.cohort));
  const spec::StrategyNeeds needs = spec::needs_of(federation.strategy);
  const std::uint64_t shelf = needs.every_update ? static_cast<std::uint64_t>(federation.cohort.size) : 0;
  const std::uint64_t beside =
      (1 + vectors_of(federation.strategy.name) + shelf) * parameters * sizeof(float) + kFileBytes;
  if (!needs.rounds) {
    const std::uint64_t updates = static_cast<std::uint64_t>(federation.strategy.buffer_size) + selected;
    return {.round = updates * update, .most = 2 * updates * update + kSlackBytes, .beside = beside};
  }
  const std::uint64_t late = federation.stragglers.policy == "Buffer" ? kLateRounds : 0;
  return {.round = selected * update,
          .most = (kRounds + late) * selected * update + kSlackBytes,
          .beside = beside};
}

Result<Journaled> resume_from_journal(const spec::Federation& federation, const std::string& uid,
                                      ReplayPorts ports, Strategy& strategy, CommittedRound& start) {
  if (federation.storage_path.empty()) return Journaled{};
  const std::filesystem::path folder = std::filesystem::path(federation.storage_path) / "journal";
  if (start.finished) {
    remove_journal(folder);  // of a process that was killed before it did
    return Journaled{};
  }
  MUSTER_ASSIGN(std::unique_ptr<Disk> disk, open_posix_disk(folder));
  MUSTER_ASSIGN(const std::uint64_t free, disk->room());
  MUSTER_ASSIGN(const std::uint64_t salt, random_salt());
  const JournalVolume volume = journal_volume(federation, start.parameters.size());
  Journaled journaled;
  MUSTER_ASSIGN(journaled.journal, Journal::open(std::move(disk),
                                                 {.owner = {.uid = uid,
                                                            .fingerprint = federation_fingerprint(federation),
                                                            .clients = federation.clients,
                                                            .parameters = start.parameters.size()},
                                                  .place = folder.string(),
                                                  .bytes_max = volume.most,
                                                  .file_bytes = kFileBytes,
                                                  .salt = salt},
                                                 start.round, journaled.recovered));
  const std::uint64_t ours = journaled.recovered.useless ? 0 : journaled.journal->bytes();
  if (free + ours < volume.round + volume.beside)
    return resource_exhausted(fmt::format(
        "spec.aggregator.storage: the updates of a round take {} bytes in {} until its model is "
        "saved, its checkpoint and what its strategy keeps {} more, and {} are free; give it a larger "
        "volume, or lower spec.cohort.size",
        volume.round, folder.string(), volume.beside, free));
  Recovered& recovered = journaled.recovered;
  if (recovered.useless) {
    MUSTER_ASSIGN(const std::string ending, journaled.journal->set_aside());
    recovered.notes.push_back(
        fmt::format("{}: the files of that journal end in {} now; remove them when nobody needs them",
                    folder.string(), ending));
  }
  ports.enough = [&](const std::vector<learning::HistoryPoint>& history) {
    return federation.target && !history.empty() && history.back().accuracy >= federation.target->value;
  };
  start.counted.resize(static_cast<std::size_t>(federation.clients));
  for (const ClosedRound& round : recovered.closed) journaled.updates += round.taken.size();
  journaled.updates += recovered.tail.size();
  MUSTER_TRY(replay(recovered.closed, spec::needs_of(federation.strategy).rounds, ports, strategy, start));
  // What the target made needless stays until the end is written: a raised one asks for it.
  const std::int64_t closed = recovered.closed.empty() ? start.round : recovered.closed.back().round;
  std::erase_if(recovered.closed, [&](const ClosedRound& round) { return round.round <= start.round; });
  MUSTER_TRY(journaled.journal->start_file(std::max(closed, start.round), recovered.next_sequence,
                                           recovered.resume));
  journaled.journal->release(recovered.settled());
  return journaled;
}

}  // namespace muster::agg
