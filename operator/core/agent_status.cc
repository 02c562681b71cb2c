// operator/core/agent_status.cc: what a pod tells of itself, made fit for the object's status
#include "operator/core/agent_status.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "common/base/text.h"
#include "common/base/utf8.h"

namespace muster::op {
namespace {

using control::v1::AgentStatus;
using control::v1::EpochBalance;
using control::v1::Point;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::int64_t kIntegerMax = std::int64_t{1} << 53;  // readers of JSON take these without loss
constexpr std::size_t kUidMax = 64;
constexpr std::size_t kDigestSize = 64;
constexpr std::size_t kLedgerDigestSize = 16;
constexpr std::size_t kNameMax = 32;

bool is_count(std::int64_t value) { return 0 <= value && value <= kIntegerMax; }

bool is_digest(const std::string& text, std::size_t size = kDigestSize) {
  return text.size() == size && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_name(const std::string& text) {  // of a topology
  return !text.empty() && text.size() <= kNameMax &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
}

bool is_possible(const Message& message, const FieldDescriptor& field) {
  const auto& values = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return is_count(values.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64: return is_count(values.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return values.GetUInt64(message, &field) <= static_cast<std::uint64_t>(kIntegerMax);
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = values.GetString(message, &field);
      if (field.name() == "digest") return is_digest(text, kLedgerDigestSize);
      return field.name() == "topology" || field.name() == "model" ? is_name(text) : is_digest(text);
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const double value = values.GetDouble(message, &field);
      if (field.name() == "gain" || field.name() == "drift") return true;
      // A loss of a program's own may be below 0, as the logarithm of a density is.
      const bool loss = field.name() == "loss" || field.name() == "test_loss";
      return !std::isfinite(value) || loss || (value >= 0 && (field.name() != "accuracy" || value <= 1));
    }
    default: return true;
  }
}

// Clears the figures that cannot be, and puts their names into `odd`.
void check_figures(Message& message, std::set<std::string>& odd) {
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) continue;
    if (field.has_presence() && !message.GetReflection()->HasField(message, &field)) continue;
    if (is_possible(message, field)) continue;
    message.GetReflection()->ClearField(&message, &field);
    odd.insert(field.json_name());
  }
}

void check_history(google::protobuf::RepeatedPtrField<Point>& history, std::set<std::string>& odd) {
  const int told = history.size();
  const auto is_odd = [](Point& point) {
    std::set<std::string> names;
    check_figures(point, names);
    return !names.empty();
  };
  history.erase(std::remove_if(history.begin(), history.end(), is_odd), history.end());
  if (history.size() > kStatusHistoryMax) history.DeleteSubrange(0, history.size() - kStatusHistoryMax);
  if (history.size() != told) odd.insert("history");
}

// Entries that cannot be are left out, and so are more than `most`.
template <typename Entry>
void check_list(google::protobuf::RepeatedPtrField<Entry>& list, int most, const char* name,
                std::set<std::string>& odd) {
  const int told = list.size();
  const auto is_odd = [](Entry& entry) {
    std::set<std::string> names;
    check_figures(entry, names);
    return !names.empty();
  };
  list.erase(std::remove_if(list.begin(), list.end(), is_odd), list.end());
  if (list.size() > most) list.DeleteSubrange(most, list.size() - most);
  if (list.size() != told) odd.insert(name);
}

// In order of epochs, as status.progress takes them.
void check_ledger(google::protobuf::RepeatedPtrField<EpochBalance>& ledger, std::set<std::string>& odd) {
  std::int64_t before = 0;
  const auto is_odd = [&before](EpochBalance& epoch) {
    std::set<std::string> names;
    check_figures(epoch, names);
    return !names.empty() || epoch.epoch() <= std::exchange(before, epoch.epoch());
  };
  if (ledger.size() <= kStatusLedgerMax && std::none_of(ledger.begin(), ledger.end(), is_odd)) return;
  ledger.Clear();
  odd.insert("ledger");
}

void check_exec(control::v1::ExecProgress& exec, std::set<std::string>& odd) {
  check_figures(exec, odd);
  if (!exec.has_end()) return;
  auto& end = *exec.mutable_end();
  end.set_words(told_text(end.words(), kStatusMessageBytesMax));
  if (end.membership() >= 1 && is_count(end.membership()) && end.exit_code() >= 1 && end.exit_code() <= 255)
    return;
  exec.clear_end();
  odd.insert("end");
}

}  // namespace

std::string told_text(std::string_view text, std::size_t bytes_max) {
  std::string told = clip(text, bytes_max);
  if (!is_utf8(told))  // an error of gRPC is any bytes
    std::replace_if(
        told.begin(), told.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return printable(told);
}

AgentStatus checked(AgentStatus told) {
  told.DiscardUnknownFields();
  told.set_message(told_text(told.message(), kStatusMessageBytesMax));
  told.set_pod_uid(told_text(told.pod_uid(), kUidMax));
  std::set<std::string> odd;
  if (told.has_worker()) {
    check_figures(*told.mutable_worker(), odd);
    check_history(*told.mutable_worker()->mutable_history(), odd);
    check_ledger(*told.mutable_worker()->mutable_ledger(), odd);
  }
  if (told.has_aggregator()) {
    check_figures(*told.mutable_aggregator(), odd);
    auto& aggregator = *told.mutable_aggregator();
    check_history(*aggregator.mutable_history(), odd);
    check_list(*aggregator.mutable_contributions_top(), kStatusContributionsMax, "contributionsTop", odd);
    check_list(*aggregator.mutable_contributions_bottom(), kStatusContributionsMax, "contributionsBottom",
               odd);
    check_list(*aggregator.mutable_devices(), kStatusDevicesMax, "devices", odd);
  }
  if (told.has_exec()) check_exec(*told.mutable_exec(), odd);
  if (told.has_client()) check_figures(*told.mutable_client(), odd);
  auto& warnings = *told.mutable_warnings();
  if (warnings.size() > kStatusWarningsMax) {
    warnings.DeleteSubrange(kStatusWarningsMax, warnings.size() - kStatusWarningsMax);
    odd.insert("warnings");
  }
  for (std::string& warning : warnings) warning = told_text(warning, kStatusWarningBytesMax);
  if (odd.empty()) return told;
  *warnings.Add() = fmt::format(
      "a pod tells what cannot be ({}), which is left out: see whether it runs Muster's program, of the "
      "operator's version",
      fmt::join(odd, ", "));
  warnings.SwapElements(0, warnings.size() - 1);
  return told;
}

}  // namespace muster::op
