// cli/audit_view.cc: status.progress.ledger as a table, and its verdict
#include "cli/audit_view.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>

#include "cli/job_view.h"
#include "cli/table.h"
#include "common/json/access.h"

namespace muster::cli {
namespace {

// Why a job that trains tells no ledger; nothing where it should.
std::optional<std::string> why_none(const Json& object) {
  const Json& spec = member(object, "spec");
  if (text_at(object, "kind") == "FederatedRound")
    return "a federation has no ledger: each client trains on its own examples";
  if (member(spec, "training").is_null())
    return "its program trains by itself (no spec.training): it tells no ledger";
  if (text(member(spec, "synchronization", "topology")) == "Gossip")
    return "with topology Gossip each worker has examples of its own, and there is no epoch of all";
  return std::nullopt;
}

// What is wrong with an epoch; empty: it balances.
std::string trouble_of(const Json& epoch, const std::string& digest) {
  const auto [expected, counted] = std::pair(integer_at(epoch, "expected"), integer_at(epoch, "counted"));
  const auto [twice, missed] = std::pair(integer_at(epoch, "twice"), integer_at(epoch, "missed"));
  const bool other = !digest.empty() && text_at(epoch, "digest") != digest;
  if (counted == expected && twice == 0 && missed == 0 && !other) return "";
  return fmt::format(
      "epoch {} does not balance: of {} examples {} counted, {} of them beyond once, {} missed{}",
      integer_at(epoch, "epoch"), expected, counted, twice, missed,
      other && twice == 0 && missed == 0 ? "; they were others than in the epochs before" : "");
}

// Of the epochs between `before` and the one that follows in the ledger; empty: it is the next one.
std::string gap_of(std::int64_t before, std::int64_t epoch) {
  if (epoch == before + 1) return "";
  if (epoch <= before) return fmt::format("epoch {} comes behind epoch {} in its ledger", epoch, before);
  if (epoch == before + 2) return fmt::format("epoch {} is missing from its ledger", before + 1);
  return fmt::format("epochs {} to {} are missing from its ledger", before + 1, epoch - 1);
}

}  // namespace

Audit audit_of(const Json& object) {
  const JobView view = view_job(object);
  const Json& ledger = member(object, "status", "progress", "ledger");
  if (!ledger.is_array() || ledger.empty()) {
    if (const auto why = why_none(object)) return {.text = view.title() + ": " + *why + "\n"};
    if (!view.finished()) return {.text = view.title() + ": no epoch is over yet\n", .balances = true};
    return {.text = view.title() +
                    (view.succeeded
                         ? ": it has ended and tells no ledger; was a worker of an earlier release at work?\n"
                         : ": it failed before an epoch was over\n")};
  }
  std::vector<std::vector<std::string>> rows{{"EPOCH", "EXPECTED", "COUNTED", "TWICE", "MISSED", "DIGEST"}};
  std::string troubles;
  std::string digest;  // of an epoch before, of the same number of examples
  std::int64_t examples = -1;
  std::optional<std::int64_t> before;  // the number of the epoch before
  for (const Json& epoch : ledger) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const char* name : {"epoch", "expected", "counted", "twice", "missed"})
      row.push_back(fmt::format("{}", integer_at(epoch, name)));
    row.push_back(text_at(epoch, "digest"));
    if (integer_at(epoch, "expected") != std::exchange(examples, integer_at(epoch, "expected")))
      digest.clear();
    const std::int64_t number = integer_at(epoch, "epoch");
    const std::string gap = before ? gap_of(*before, number) : "";
    if (!gap.empty()) troubles += view.title() + ": " + gap + "\n";
    before = number;
    const std::string trouble = trouble_of(epoch, digest);
    if (!trouble.empty()) troubles += view.title() + ": " + trouble + "\n";
    if (trouble.empty()) digest = text_at(epoch, "digest");
  }
  const std::int64_t newest = integer_at(ledger.back(), "epoch");
  const Json& done = member(object, "status", "progress", "epoch");
  if (view.succeeded && done.is_number() && std::llround(done.get<double>()) != newest)
    troubles += fmt::format("{}: it ended with epoch {}, and its ledger with {}\n", view.title(),
                            std::llround(done.get<double>()), newest);
  const std::int64_t oldest = integer_at(ledger.front(), "epoch");
  const std::string kept = oldest > 1 ? fmt::format("; of epochs before {} no balance is kept", oldest) : "";
  std::string verdict = troubles;
  if (verdict.empty())
    verdict = fmt::format("{}: every example counted once in each of {} epoch{}{}\n", view.title(),
                          ledger.size(), ledger.size() == 1 ? "" : "s", kept);
  return {.text = render_table(rows) + verdict, .balances = troubles.empty()};
}

}  // namespace muster::cli
